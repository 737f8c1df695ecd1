package ecr

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
)

const apiTarget = "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken"

var accountID = regexp.MustCompile(`^[0-9]{12}$`)

// serveAPI answers GetAuthorizationToken.
// https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_GetAuthorizationToken.html
func (s *Server) serveAPI(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Amzn-Requestid", requestID())
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 64<<10))
	if err != nil {
		apiError(w, http.StatusBadRequest, "SerializationException", "")
		return
	}
	if r.Method != http.MethodPost || r.URL.Path != "/" || r.Header.Get("X-Amz-Target") != apiTarget {
		apiError(w, http.StatusBadRequest, "UnknownOperationException", "")
		return
	}
	if refusal := s.verifyHeader(r, body); refusal != nil {
		apiError(w, refusal.status, refusal.code, refusal.message)
		return
	}
	registries, message := parseRegistries(r, body)
	if message != "" {
		apiError(w, http.StatusBadRequest, "InvalidParameterException", message)
		return
	}
	if len(registries) == 0 {
		registries = []string{s.opts.Account}
	}
	s.writeTokens(w, registries)
}

// parseRegistries returns registryIds (deprecated, but still sent), or what is
// wrong with the body.
func parseRegistries(r *http.Request, body []byte) (ids []string, message string) {
	if r.Header.Get("Content-Type") != "application/x-amz-json-1.1" {
		return nil, "Content-Type must be application/x-amz-json-1.1"
	}
	var input struct {
		RegistryIDs []string `json:"registryIds"`
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	if err := dec.Decode(&input); err != nil {
		return nil, "the body is not a JSON object"
	}
	if len(input.RegistryIDs) > 10 {
		return nil, "Invalid parameter at 'registryIds' failed to satisfy constraint: 'Member must have length less than or equal to 10'"
	}
	for _, id := range input.RegistryIDs {
		if !accountID.MatchString(id) {
			return nil, "Invalid parameter at 'registryIds' failed to satisfy constraint: 'Member must satisfy regular expression pattern: [0-9]{12}'"
		}
	}
	return input.RegistryIDs, ""
}

func (s *Server) writeTokens(w http.ResponseWriter, registries []string) {
	type data struct {
		AuthorizationToken string  `json:"authorizationToken"`
		ExpiresAt          float64 `json:"expiresAt"` // seconds since 1970
		ProxyEndpoint      string  `json:"proxyEndpoint"`
	}
	var out struct {
		AuthorizationData []data `json:"authorizationData"`
	}
	for _, id := range registries {
		token, expires := s.tokens.issue()
		out.AuthorizationData = append(out.AuthorizationData, data{
			AuthorizationToken: token,
			ExpiresAt:          float64(expires.UnixMilli()) / 1000,
			ProxyEndpoint:      "https://" + s.withPort(Host(id, s.opts.Region)),
		})
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	_ = json.NewEncoder(w).Encode(out) // a client that has left needs no error
}

// apiError writes an error of AWS JSON 1.1.
// https://smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html#operation-error-serialization
func apiError(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(struct {
		Type    string `json:"__type"`
		Message string `json:"message,omitempty"`
	}{code, message})
}

// APIFault is the body of a fault of the API: code as "ThrottlingException",
// "AccessDeniedException" (both status 400) or "ServerException" (500).
func APIFault(code, message string) string {
	text, err := json.Marshal(map[string]string{"__type": code, "message": message})
	if err != nil {
		return "" // two strings always marshal
	}
	return string(text)
}

func requestID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails since Go 1.24
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
