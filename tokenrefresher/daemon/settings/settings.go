// Package settings reads the configuration of both programs: a YAML file,
// environment variables, and flags. Flags take precedence over the environment, and
// both over the file. A program describes its keys in a Table; a Reader (reader.go)
// checks the values, and reports every problem at once.
package settings

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"github.com/spf13/viper"
)

// A Setting is one key, with dots between the names of its sections.
type Setting struct {
	Key string
	// Default is a string, an int or a bool.
	Default any
	// Usage is a line of help.
	Usage string
	// Restart: a program that can take over a changed configuration while it
	// runs cannot take over this one.
	Restart bool
}

// A Table is all settings of a program.
type Table []Setting

// A Source is where the values come from.
type Source struct {
	// Program names the program, or a command of it, in errors; in capitals and
	// with "_" it begins the names of its environment variables:
	// AUTHSVC_CACHE_TTL is cache.ttl.
	Program string
	// File is a YAML file; empty for none.
	File string
	// Environ is as os.Environ gives it.
	Environ []string
	// Flags are those of Table.Flags after parsing; nil for none.
	Flags *pflag.FlagSet
	// Lists are keys of the file that hold lists of sections, which have
	// tables of their own.
	Lists []string
}

// Flags adds a flag to flags for every key.
func (t Table) Flags(flags *pflag.FlagSet) {
	for _, s := range t {
		flags.String(s.Key, fmt.Sprint(s.Default), s.Help())
	}
}

// Help is the line of help, with what applies to the setting.
func (s Setting) Help() string {
	if s.Restart {
		return s.Usage + " (a change takes a restart)"
	}
	return s.Usage
}

// Keys are the table's keys, in its order.
func (t Table) Keys() []string {
	var keys []string
	for _, s := range t {
		keys = append(keys, s.Key)
	}
	return keys
}

// Load reads the values. It fails if the file cannot be read; unknown keys are
// problems of the Reader.
func (t Table) Load(source Source) (*Reader, error) {
	v := viper.New()
	if source.File != "" {
		values, err := readFile(source.File)
		if err == nil {
			err = v.MergeConfigMap(values)
		}
		if err != nil {
			return nil, fmt.Errorf("reading the configuration %s: %w", source.File, err)
		}
	}
	problems := t.unknownKeys(v, source)
	for _, s := range t {
		v.SetDefault(s.Key, s.Default)
	}
	problems = append(problems, t.mergeEnvironment(v, source)...)
	t.mergeFlags(v, source.Flags)
	return &Reader{table: t, file: source.File, get: v.Get, problems: problems}, nil
}

// Section reads one entry of a list; prefix names it in problems, as in
// "registries[1].".
func (t Table) Section(prefix string, values map[string]any) *Reader {
	flat := map[string]any{}
	t.flatten(flat, "", values)
	r := &Reader{table: t, prefix: prefix, get: func(key string) any { return flat[key] }}
	for _, key := range slices.Sorted(maps.Keys(flat)) {
		if !t.has(key) {
			r.problems = append(r.problems, fmt.Errorf("unknown key %s%s; known keys are %s", prefix, key, strings.Join(t.Keys(), ", ")))
		}
	}
	return r
}

// Under reads the keys of table t that r has below a section, such as
// "kloudless.". Its problems are not r's.
func (r *Reader) Under(section string, t Table) *Reader {
	return &Reader{table: t, prefix: r.prefix + section, get: func(key string) any { return r.Get(section + key) }}
}

// Under returns the table with all keys below a section, such as "kloudless.".
func (t Table) Under(section string) Table {
	below := slices.Clone(t)
	for i := range below {
		below[i].Key = section + below[i].Key
	}
	return below
}

// flatten puts the values into flat by the table's keys, which have dots between
// the names of their sections.
func (t Table) flatten(flat map[string]any, section string, values map[string]any) {
	for name, value := range values {
		key := section + name
		if below, ok := value.(map[string]any); ok && t.hasSection(key) {
			t.flatten(flat, key+".", below)
		} else if value != nil || t.has(key) || !t.hasSection(key) { // nil is a section whose keys are all commented out
			flat[key] = value
		}
	}
}

func (t Table) has(key string) bool {
	return slices.ContainsFunc(t, func(s Setting) bool { return s.Key == key })
}

func (t Table) hasSection(key string) bool {
	return slices.ContainsFunc(t, func(s Setting) bool { return strings.HasPrefix(s.Key, key+".") })
}

// unknownKeys finds keys of the file that do not exist.
func (t Table) unknownKeys(v *viper.Viper, source Source) []error {
	var problems []error
	keys := v.AllKeys()
	slices.Sort(keys)
	for _, key := range keys {
		switch value := v.Get(key); {
		case t.has(key), slices.Contains(source.Lists, key):
		case t.hasSection(key):
			if value != nil { // nil is a section whose keys are all commented out
				problems = append(problems, fmt.Errorf("%s: expected the keys of a section, found %s", key, Found(value)))
			}
		case t.isBelowValue(key, source.Lists):
			// Reading that key reports what was expected.
		default:
			problems = append(problems, fmt.Errorf("unknown key %s; %s --help lists the known keys", key, source.Program))
		}
	}
	return problems
}

// isBelowValue says whether key is inside what should be a value or a list.
func (t Table) isBelowValue(key string, lists []string) bool {
	for above := key; ; {
		last := strings.LastIndexByte(above, '.')
		if last < 0 {
			return false
		}
		above = above[:last]
		if t.has(above) || slices.Contains(lists, above) {
			return true
		}
	}
}

// mergeEnvironment reads the program's variables. One that names no key is an
// error: otherwise a typo would go unnoticed.
func (t Table) mergeEnvironment(v *viper.Viper, source Source) []error {
	prefix := strings.ToUpper(strings.ReplaceAll(source.Program, " ", "_")) + "_"
	keys := make(map[string]string, len(t))
	for _, s := range t {
		keys[prefix+strings.ToUpper(strings.ReplaceAll(s.Key, ".", "_"))] = s.Key
	}
	var unknown []error
	for _, variable := range source.Environ {
		name, value, _ := strings.Cut(variable, "=")
		if !strings.HasPrefix(name, prefix) {
			continue
		}
		key, ok := keys[name]
		if !ok {
			unknown = append(unknown, fmt.Errorf("unknown environment variable %s; variables are named like %sLOG_LEVEL, for log.level", name, prefix))
			continue
		}
		v.Set(key, value)
	}
	return unknown
}

func (t Table) mergeFlags(v *viper.Viper, flags *pflag.FlagSet) {
	if flags == nil {
		return
	}
	flags.Visit(func(f *pflag.Flag) {
		if t.has(f.Name) {
			v.Set(f.Name, f.Value.String())
		}
	})
}

// Err joins all problems; nil if there are none.
func (r *Reader) Err() error {
	if len(r.problems) == 0 {
		return nil
	}
	if r.file == "" {
		return fmt.Errorf("configuration: %w", errors.Join(r.problems...))
	}
	return fmt.Errorf("configuration %s: %w", r.file, errors.Join(r.problems...))
}
