package graph

// A schema says what kind of manifest one that was fetched is.
type schema uint8

const (
	unread schema = iota // it was learned by a version that did not look
	modern
	schema1 // Docker's first, which carries the name of its repository
)

func (c Content) schema() schema {
	switch {
	case c.unread:
		return unread
	case c.Schema1:
		return schema1
	}
	return modern
}

// schemas are how a line writes them.
var schemas = map[schema]int{unread: -1, modern: 0, schema1: 1}
