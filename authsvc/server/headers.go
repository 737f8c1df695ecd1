package server

// The headers of the contract with nginx, in both directions. nginx/README.md
// documents them; nginx/registry/ is the other side.
const (
	headerOriginalMethod   = "X-Original-Method"
	headerOriginalURI      = "X-Original-Uri"
	headerRealIP           = "X-Real-Ip"
	headerRequestID        = "X-Request-Id"
	headerUserAgent        = "User-Agent"
	headerUpstreamRejected = "X-Upstream-Rejected"
	headerRejectedToken    = "X-Upstream-Rejected-Token"
	headerUpstreamStatus   = "X-Upstream-Status"
	headerUpstreamTokenID  = "X-Upstream-Token-Id"

	headerEcrAuthorization = "X-Ecr-Authorization"
	headerEcrRegistry      = "X-Ecr-Registry"
	headerEcrTokenID       = "X-Ecr-Token-Id"
	headerEcrPath          = "X-Ecr-Path"
	headerEcrStandby       = "X-Ecr-Standby"
	headerSubject          = "X-Auth-Subject"
	headerLicense          = "X-Auth-License"
	headerContent          = "X-Registry-Content"
	headerStatus           = "X-Registry-Status"
	headerErrorCode        = "X-Registry-Error-Code"
	headerErrorMessage     = "X-Registry-Error-Message"

	headerAPIVersion = "Docker-Distribution-Api-Version"
	headerLink       = "Link"
)
