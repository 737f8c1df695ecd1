package main

import (
	"path/filepath"
	"strings"
	"text/template"
)

// byHand lists commands to try in another terminal.
var byHand = template.Must(template.New("").Parse(`
== try it yourself, in another terminal

   nginx {{.Host}} (http) and {{.TLS}} (https, CA {{.CA}})
   logs  {{.Logs}}
{{range .People}}
   {{.Email}}  token {{.Token}}
   {{.License}}
{{- end}}

   # docker and crane, without touching your ~/.docker:
   export DOCKER_HOST={{.Engine}} DOCKER_CONFIG=$(mktemp -d)
   docker login --username {{.Ann}} {{.Host}}        # asks for the token
   docker pull {{.Host}}/vendor/appliance:1.4
   docker pull {{.Host}}/vendor/appliance:2.0        # not licensed

   .build/bin/crane ls {{.Host}}/vendor/appliance
   .build/bin/crane manifest {{.Host}}/vendor/appliance:1.4
   .build/bin/crane pull {{.Host}}/vendor/appliance:latest /tmp/appliance.tar

   # the API itself; curl asks for the token
   curl -i {{.URL}}/v2/
   curl -i -u {{.Ann}} {{.URL}}/v2/vendor/appliance/manifests/1.4
   curl -i -u {{.Bob}} {{.URL}}/v2/vendor/appliance/manifests/1.4    # expired
   curl -i -u {{.Ann}} -X DELETE {{.URL}}/v2/vendor/appliance/manifests/1.4

   # metrics of authsvc and tokenrefresher
   curl {{.Authsvc}}/metrics
   curl {{.Refresher}}/metrics

== running until Ctrl-C; authsvc's decisions:

`))

// explain prints byHand with this run's values.
func (d *demo) explain() {
	type who struct{ Email, Token, License string }
	var people []who
	for _, p := range []person{ann, bob, eve} {
		people = append(people, who{p.email, p.token, describe(p.licenses[0])})
	}
	var text strings.Builder
	err := byHand.Execute(&text, map[string]any{
		"Host": d.stack.Host, "URL": d.stack.URL, "TLS": strings.TrimPrefix(d.stack.TLSURL, "https://"),
		"CA": d.stack.CAFile(), "Logs": filepath.Dir(d.stack.LogFile("authsvc")), "Engine": d.engine.Host,
		"People": people, "Ann": ann.email, "Bob": bob.email,
		"Authsvc": d.stack.AuthsvcURL(), "Refresher": d.stack.TokenrefresherURL(),
	})
	if err != nil {
		d.out.line("cannot show the commands: %v", err)
		return
	}
	d.out.write(text.String())
}
