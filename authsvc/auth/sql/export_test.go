package sql

// A Statement is what TestParse accepts.
type Statement struct {
	Driver, Text string
	Parameters   int
}

// Statements are the good ones of TestParse, as the drivers get them.
func Statements() (all []Statement) {
	for _, s := range statements {
		driver, d, text := "postgres", postgresDialect, s.postgres
		if s.maria != "" {
			driver, d, text = "mariadb", mariaDialect, s.maria
		}
		if s.wantError == "" {
			q := &query{}
			if err := d.parse(q, text, "user"); err != nil {
				panic(err)
			}
			all = append(all, Statement{driver, q.text, len(q.parameters)})
		}
	}
	return all
}
