package iam

import (
	"encoding/xml"
	"net/url"
	"strings"
	"time"
)

type response struct {
	XMLName   xml.Name
	Xmlns     string `xml:"xmlns,attr"`
	Result    element
	RequestID string `xml:"ResponseMetadata>RequestId"`
}

type errorResponse struct {
	XMLName   xml.Name `xml:"ErrorResponse"`
	Xmlns     string   `xml:"xmlns,attr"`
	Type      string   `xml:"Error>Type"`
	Code      string   `xml:"Error>Code"`
	Message   string   `xml:"Error>Message"`
	RequestID string   `xml:"RequestId"`
}

// An element has a name that only its value's action tells.
type element struct {
	Name  string
	Value any
}

// MarshalXML writes nothing for an action without a result, as IAM does.
func (e element) MarshalXML(enc *xml.Encoder, _ xml.StartElement) error {
	if e.Value == nil {
		return nil
	}
	return enc.EncodeElement(e.Value, xml.StartElement{Name: xml.Name{Local: e.Name}})
}

// A list appears even if it is empty: clients rely on it.
type list[T any] struct {
	Member []T `xml:"member"`
}

type tagXML struct{ Key, Value string }

type boundaryXML struct {
	PermissionsBoundaryType, PermissionsBoundaryArn string
}

type attachedXML struct{ PolicyName, PolicyArn string }

type roleXML struct {
	Path, RoleName, RoleId, Arn, CreateDate string //nolint:revive // the API's name
	AssumeRolePolicyDocument                string
	Description                             string `xml:",omitempty"`
	MaxSessionDuration                      int
	PermissionsBoundary                     *boundaryXML  `xml:",omitempty"`
	Tags                                    *list[tagXML] `xml:",omitempty"`
}

type profileXML struct {
	Path, InstanceProfileName, InstanceProfileId, Arn, CreateDate string //nolint:revive // the API's name
	Roles                                                         list[roleXML]
}

type (
	roleResult     struct{ Role roleXML }
	profileResult  struct{ InstanceProfile profileXML }
	profilesResult struct {
		InstanceProfiles list[profileXML]
		IsTruncated      bool
	}
	tagsResult struct {
		Tags        list[tagXML]
		IsTruncated bool
	}
	attachedResult struct {
		AttachedPolicies list[attachedXML]
		IsTruncated      bool
	}
	namesResult struct {
		PolicyNames list[string]
		IsTruncated bool
	}
	policyResult struct{ RoleName, PolicyName, PolicyDocument string }
)

func toRoleXML(name string, r *Role) roleXML {
	x := roleXML{
		Path: r.Path, RoleName: name, RoleId: "AROAEXAMPLE" + name, Arn: r.ARN, CreateDate: created,
		AssumeRolePolicyDocument: escape(r.Trust), Description: r.Description, MaxSessionDuration: r.MaxSessionDuration,
	}
	if r.Boundary != "" {
		x.PermissionsBoundary = &boundaryXML{"Policy", r.Boundary}
	}
	if len(r.Tags) > 0 {
		x.Tags = new(toTagsXML(r.Tags))
	}
	return x
}

func toTagsXML(tags map[string]string) (l list[tagXML]) {
	for _, key := range sortedKeys(tags) {
		l.Member = append(l.Member, tagXML{key, tags[key]})
	}
	return l
}

func (a *Account) toProfileXML(name string, p *InstanceProfile) profileXML {
	x := profileXML{
		Path: p.Path, InstanceProfileName: name, InstanceProfileId: "AIPAEXAMPLE" + name, Arn: p.ARN, CreateDate: created,
	}
	for _, role := range p.Roles {
		x.Roles.Member = append(x.Roles.Member, toRoleXML(role, a.Roles[role]))
	}
	return x
}

// created is when everything was created; nothing depends on it.
var created = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).Format(time.RFC3339)

// escape is RFC 3986's, in which IAM returns documents.
func escape(document string) string {
	return strings.ReplaceAll(url.QueryEscape(document), "+", "%20")
}
