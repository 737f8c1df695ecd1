package object

import (
	"path"
	"strings"
)

// folders of the kinds, in the store's folder.
var folders = map[Kind]string{Blob: "blobs", Manifest: "manifests"}

// Folders are the folders that hold the folders of Path.
func Folders() []string {
	var all []string
	for _, folder := range folders {
		for name := range algorithms {
			all = append(all, folder+"/"+name)
		}
	}
	return all
}

// Path is where an object lies, relative to the store's folder:
//
//	blobs/sha256/ab/cdef…
//	manifests/sha256/ab/cdef….oci-manifest
//
// The extension says the media type of a manifest. It is empty for a blob.
func Path(id ID, m Media) string {
	d := id.Digest
	p := path.Join(folders[id.Kind], d.algorithm, d.hex[:2], d.hex[2:])
	if id.Kind == Manifest {
		p += "." + extensions[m]
	}
	return p
}

// ParsePath is the reverse of Path.
func ParsePath(p string) (ID, Media, bool) {
	parts := strings.Split(p, "/")
	if len(parts) != 4 || len(parts[2]) != 2 {
		return ID{}, "", false
	}
	var id ID
	for kind, folder := range folders {
		if folder == parts[0] {
			id.Kind = kind
		}
	}
	rest, extension, _ := strings.Cut(parts[3], ".")
	var ok bool
	if id.Digest, ok = newDigest(parts[1], parts[2]+rest); !ok {
		return ID{}, "", false
	}
	media := mediaOfExtension(extension)
	return id, media, id.Kind != "" && Path(id, media) == p
}
