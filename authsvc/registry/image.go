package registry

import "strings"

// ImagePath is the path of the API that a reference asks for. A reference is such a path
// itself, or an image as docker has it: [REGISTRY/]REPOSITORY[:TAG][@DIGEST], with the
// tag latest if there is none.
func ImagePath(reference string) string {
	if reference == "" || strings.HasPrefix(reference, "/") {
		return reference
	}
	if host, rest, ok := strings.Cut(reference, "/"); ok && (strings.ContainsAny(host, ".:") || host == "localhost") {
		reference = rest
	}
	repository, digest, ok := strings.Cut(reference, "@")
	name, tag := cutTag(repository)
	if ok {
		tag = digest // docker ignores the tag then
	}
	return "/v2/" + name + "/manifests/" + tag
}

func cutTag(repository string) (name, tag string) {
	if i := strings.LastIndexByte(repository, ':'); i > strings.LastIndexByte(repository, '/') {
		return repository[:i], repository[i+1:]
	}
	return repository, "latest"
}
