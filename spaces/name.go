package spaces

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// Name identifies a search space on the command line, in records and in the names of run
// directories. The spaces of NAS-Bench-1Shot1 are called 1, 2 and 3, as they are there;
// others have words: lower-case letters, digits and hyphens, a letter first.
type Name string

// numbered tells whether the name is a number.
func (n Name) numbered() bool { return len(n) == 1 && n[0] >= '1' && n[0] <= '9' }

// wellFormed tells whether it could be the name of a space.
func (n Name) wellFormed() bool {
	if n.numbered() {
		return true
	}
	const letters = "abcdefghijklmnopqrstuvwxyz"
	return n != "" && strings.Contains(letters, string(n[:1])) && strings.Trim(string(n), letters+"0123456789-") == ""
}

// Check returns an error unless a space of this name is registered.
func (n Name) Check() error {
	_, err := Get(n)
	return err
}

// Prefix is how names of files and run directories begin: "s2" for space 2, otherwise
// the name itself.
func (n Name) Prefix() string {
	if n.numbered() {
		return "s" + string(n)
	}
	return string(n)
}

// FileName is how the space is called within names of files: "space2", or the name.
func (n Name) FileName() string {
	if n.numbered() {
		return "space" + string(n)
	}
	return string(n)
}

// MarshalJSON writes a number where the name is one, otherwise text.
func (n Name) MarshalJSON() ([]byte, error) {
	if n.numbered() {
		return []byte(n), nil
	}
	return json.Marshal(string(n))
}

// UnmarshalJSON reads what MarshalJSON writes. Whether there is such a space is for
// Check to say; any number is read.
func (n *Name) UnmarshalJSON(text []byte) error {
	if bytes.HasPrefix(text, []byte(`"`)) {
		var s string
		if err := json.Unmarshal(text, &s); err != nil {
			return err
		}
		if *n = Name(s); n.numbered() || !n.wellFormed() {
			return fmt.Errorf("%.40q is not the name of a space: want a number, or lower-case letters, digits and hyphens", s)
		}
		return nil
	}
	var i int
	if err := json.Unmarshal(text, &i); err != nil {
		return err
	}
	*n = Name(fmt.Sprint(i))
	return nil
}
