package config

import "reflect"

// fixed are the fields of the settings whose change takes a restart.
var fixed = map[string]func(*Config) any{
	"listen.address":      func(c *Config) any { return &c.Listen.Address },
	"listen.mode":         func(c *Config) any { return &c.Listen.Mode },
	"listen.group":        func(c *Config) any { return &c.Listen.Group },
	"listen.max_requests": func(c *Config) any { return &c.Listen.MaxRequests },
	"private.address":     func(c *Config) any { return &c.Private },
	explainAddress:        func(c *Config) any { return &c.Explain },
	"realm":               func(c *Config) any { return &c.Realm },
	"release.max_digests": func(c *Config) any { return &c.Release.MaxDigests },
	"release.file":        func(c *Config) any { return &c.ReleaseFile },
	"cache.file":          func(c *Config) any { return &c.CacheFile },
	"cache.key_file":      func(c *Config) any { return &c.CacheKeyFile },
}

// Reload returns c as a running authsvc can take it over: a setting whose change takes a
// restart keeps the value that is in force. changed are the keys of those that differ.
func (c Config) Reload(inForce Config) (taken Config, changed []string) {
	for _, s := range table {
		field := fixed[s.Key]
		if field == nil {
			continue
		}
		old, mine := reflect.ValueOf(field(&inForce)).Elem(), reflect.ValueOf(field(&c)).Elem()
		if !old.Equal(mine) {
			changed = append(changed, s.Key)
		}
		mine.Set(old)
	}
	c.Cache.MaxStrangers = inForce.Cache.MaxStrangers // it follows from listen.max_requests
	return c, changed
}
