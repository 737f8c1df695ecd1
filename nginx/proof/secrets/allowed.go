package main

import "github.com/pullgate/pullgate/nginx/proof/marks"

// nginxDebugLog shows request headers; nginx/README.md warns of it.
const nginxDebugLog = "nginx-debug.log"

// allowed are the places that may contain a secret, and why.
var allowed = []marks.Allowed{
	{Kind: "token file", Place: "main.json", Mark: "ECR's token", Reason: "authsvc reads it there; mode 0640, in a folder that only its group enters"},
	{Kind: "token file", Place: "main.json*", Mark: "token in a broken file", Reason: "this program writes it there, to break the file"},
	{Kind: "token file", Place: "other.json", Mark: "password of another registry", Reason: "likewise the token of a registry that is not ECR"},
	{Kind: "file", Place: "password", Mark: "password of another registry", Reason: "tokenrefresher's password_file; the operator writes it"},
	{Kind: "file", Place: "marked-*", Mark: "password in *", Reason: "settings that the operator wrote a password into"},
	{Kind: marks.Environment, Place: "tokenrefresher", Mark: "AWS *", Reason: "this stack has no instance role, so the AWS SDK reads its key from the environment; on a machine no key is there"},
	{Kind: marks.Environment, Mark: "password in HTTP_PROXY", Reason: "the operator set it there; in the packages it comes from a file that only root can read"},
	{Kind: "log", Place: nginxDebugLog, Reason: "nginx writes every header at this level, whatever the includes say; nginx/README.md says to stay at notice"},
	{Kind: "answer", Place: "the registry: 200 with *", Mark: "ECR's token", Reason: "an image's bytes and headers pass unchanged, and only ECR sends them, verified by its certificate; errors do not pass"},
	{Kind: "answer", Place: "the registry: a redirect *", Mark: "ECR's token", Reason: "likewise the redirect to S3, whose URL ECR has signed"},
	{Kind: "file", Place: "config.json", Mark: "ann's API token", Reason: "where docker login keeps the customer's credential, on the customer's machine"},
}
