package phases

import "testing"

func TestArenaPlacesNothingTwice(t *testing.T) {
	var a arena
	type placed struct{ from, to, since, until int }
	var all []placed
	for now := range 200 {
		bytes, until := 64*(1+now*7919%13), now+now*104729%17
		from := a.place(bytes, now, until)
		for _, p := range all {
			if p.until >= now && from < p.to && p.from < from+bytes {
				t.Fatalf("%d bytes at %d, while %d..%d is in use until %d", bytes, from, p.from, p.to, p.until)
			}
		}
		all = append(all, placed{from, from + bytes, now, until})
		if from+bytes > a.size {
			t.Fatalf("the arena ends at %d, before %d", a.size, from+bytes)
		}
	}
	if a.size > 64*13*18 {
		t.Errorf("%d bytes for values of which at most 18 live at once", a.size)
	}
}
