package kloudless

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/pullgate/pullgate/authsvc/auth"
	"github.com/pullgate/pullgate/authsvc/auth/jq"
	"github.com/pullgate/pullgate/authsvc/auth/web"
)

// errorForm is what an error of the API looks like, for errors.
const errorForm = `a JSON object with "error_code" or "status_code"`

// refuses says whether the API refused the credential: by 401 or 403, since an
// old SDK of Kloudless names them the wrong way round, and in the API's own
// form,
//
//	{"status_code": 401, "error_code": "unauthorized", "message": "…", "id": "…"}
//
// (https://developers.kloudless.com/docs#errors). An older one lacks
// status_code, and a newer one may not have both, so either is enough. A firewall's
// blanket 403 has neither: treating it as the API's would refuse every customer.
func refuses(answer web.Answer) bool {
	if !isDenial(answer.Status) || !answer.JSON {
		return false
	}
	value, err := jq.Decode(answer.Body)
	object, ok := value.(map[string]any)
	if err != nil || !ok {
		return false
	}
	code, _ := object["error_code"].(string)
	return code != "" || fmt.Sprint(object["status_code"]) == strconv.Itoa(answer.Status)
}

func isDenial(status int) bool {
	return status == http.StatusUnauthorized || status == http.StatusForbidden
}

// unexpected describes an answer that is neither success nor a refusal.
func unexpected(answer web.Answer) error {
	if isDenial(answer.Status) {
		return fmt.Errorf("expected status %d with the API's own error, %s, found something else: a firewall or proxy in front of the API?", answer.Status, errorForm)
	}
	err := fmt.Errorf("expected status 200, found %d", answer.Status)
	switch answer.Status {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity, http.StatusRequestHeaderFieldsTooLarge:
		return fmt.Errorf("%w: %w", auth.ErrUnreadable, err) // it is the token that the API cannot read
	}
	return err
}

func (c *Client) pageURL(page string) *url.URL {
	u := *c.licenses
	query := u.Query()
	query.Set("page", page)
	query.Set("page_size", strconv.Itoa(c.pageSize))
	u.RawQuery = query.Encode()
	return &u
}

// A list is a page of the API's objects.
type list struct {
	objects []any
	// next is the page to ask for after this one; empty at the end.
	next string
}

// decodeList reads a page, the number'th, of size objects at most.
//
// The API answers {"objects": […]} and either "next_page", which is what to ask
// for next, or "page", the page's own number. In the second form a page that is
// not full is the last; a full one may be the last too, and then the next is a
// 404.
func decodeList(body []byte, number, size int) (list, error) {
	value, err := jq.Decode(body)
	if err != nil {
		return list{}, err
	}
	object, _ := value.(map[string]any)
	objects, ok := object["objects"].([]any)
	if !ok {
		return list{}, errors.New(`expected a list with the key "objects", found none`)
	}
	following := strconv.Itoa(number + 1)
	switch next := object["next_page"].(type) {
	case nil:
		_, said := object["next_page"]
		if _, numbered := object["page"]; said || !numbered || len(objects) < size {
			following = ""
		}
	case json.Number:
		following = next.String()
	case string:
		following = next
	default:
		return list{}, errors.New(`expected a number, text or null for "next_page", found something else`)
	}
	return list{objects: objects, next: following}, nil
}
