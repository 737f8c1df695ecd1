package main

import "os"

// What -plant plants. Each makes a run fail.
const (
	plantExcuse  = "excuse"  // nothing is excused
	plantLicense = "license" // the vendor licenses to customers what they should be refused
	plantSecret  = "secret"  // a log has a customer's password
)

var plants = []string{plantExcuse, plantLicense, plantSecret}

// planted is the table of a run.
func planted(plant string, excuses []excuse) []excuse {
	if plant == plantExcuse {
		return nil
	}
	return excuses
}

// plant changes customers, or writes into a log.
func (t *trial) plant(plant string) error {
	switch plant {
	case plantLicense:
		t.generous = true
	case plantSecret:
		log, err := os.OpenFile(t.rig.stack.LogFile("authsvc"), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		_, err = log.WriteString("Authorization: Bearer " + mark + "\n")
		if err := log.Close(); err != nil {
			return err
		}
		return err
	}
	return nil
}
