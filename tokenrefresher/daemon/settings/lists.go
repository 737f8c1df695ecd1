package settings

import (
	"fmt"
	"strconv"
	"strings"
)

// List reads a list of at most max valid texts. In the environment and in a flag,
// they are separated by spaces or commas.
func (r *Reader) List(key string, max int, valid func(string) bool, expected string) []string {
	var list []string
	ok := true
	switch value := r.Get(key).(type) {
	case string:
		list = strings.FieldsFunc(value, func(c rune) bool { return c == ',' || c == ' ' || c == '\n' || c == '\t' })
	case []any:
		for _, v := range value {
			s, isText := v.(string)
			ok = ok && isText
			list = append(list, s)
		}
	default:
		ok = false
	}
	for _, s := range list {
		ok = ok && valid(s)
	}
	if !ok || len(list) > max {
		r.Wrong(key, fmt.Sprintf("a list of at most %d %s", max, expected))
	}
	if len(list) == 0 {
		return nil
	}
	return list
}

// Sections reads the entries of a list of sections, if it is one. read gets the keys of
// each, and what the entry is called in problems, as in "registries[1].", and returns its
// problems. what says what an entry is, as in "a registry".
func (r *Reader) Sections(key, what string, read func(prefix string, values map[string]any) []error) {
	list, _ := r.Get(key).([]any)
	for i, entry := range list {
		prefix := fmt.Sprintf("%s[%d]", key, i)
		values, ok := entry.(map[string]any)
		if !ok {
			r.Add(fmt.Errorf("%s: expected the keys of %s, found %s", prefix, what, Found(entry)))
			continue
		}
		r.Add(read(prefix+".", values)...)
	}
}

// Numbers reads a list of at most max whole numbers, each from least to most. One
// number needs no list.
func (r *Reader) Numbers(key string, max, least, most int) []int {
	var texts []string
	ok := true
	switch value := r.Get(key).(type) {
	case string:
		texts = strings.FieldsFunc(value, func(c rune) bool { return c == ',' || c == ' ' })
	case int, number:
		texts = []string{fmt.Sprint(value)}
	case []any:
		for _, v := range value {
			_, isText := v.(string)
			ok = ok && !isText
			texts = append(texts, fmt.Sprint(v))
		}
	default:
		ok = false
	}
	var list []int
	for _, text := range texts {
		n, err := strconv.Atoi(text)
		ok = ok && err == nil && least <= n && n <= most
		list = append(list, n)
	}
	if !ok || len(list) > max {
		r.Wrong(key, fmt.Sprintf("a list of at most %d whole numbers from %d to %d", max, least, most))
		return nil
	}
	return list
}
