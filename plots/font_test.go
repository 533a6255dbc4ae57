package plots

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/image/font"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"
	"pgregory.net/rapid"
)

// Every character of the text looks in the font that is embedded as it does in the
// whole one, and takes the same room.
func TestFont(t *testing.T) {
	all, err := wholeFont()
	if err != nil {
		t.Fatal(err)
	}
	whole, err := sfnt.Parse(all)
	if err != nil {
		t.Fatal(err)
	}
	characters := rapid.RuneFrom([]rune("Ag Öéß±×λ→½ǻ…😀\n\u0301"))
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.StringOf(characters), rapid.String()).Draw(t, "text")
		_, ttf, err := Font(text)
		if err != nil {
			t.Fatal(err)
		}
		small, err := sfnt.Parse(ttf)
		if err != nil {
			t.Fatal(err)
		}
		const em = 2048
		look := func(f *sfnt.Font, r rune) (segments []sfnt.Segment, advance fixed.Int26_6) {
			i, err := f.GlyphIndex(nil, r)
			if err == nil && i != 0 && r <= 0xffff {
				segments, err = f.LoadGlyph(nil, i, em, nil)
				if err == nil {
					advance, err = f.GlyphAdvance(nil, i, em, font.HintingNone)
				}
			}
			if err != nil {
				t.Fatal(err)
			}
			return segments, advance
		}
		for _, r := range text + "q" {
			segments, advance := look(small, r)
			want, room := look(whole, r)
			if r == 'q' && !bytes.ContainsRune([]byte(text), 'q') {
				want, room = nil, 0
			}
			if diff := cmp.Diff(want, segments); diff != "" || advance != room {
				t.Errorf("%q: advance %v, want %v; outline %s", r, advance, room, diff)
			}
		}
		sum := uint32(0)
		for i := 0; i < len(ttf); i += 4 {
			sum += binary.BigEndian.Uint32(ttf[i:])
		}
		if sum != 0xb1b0afba {
			t.Errorf("the sum of the file is %#x", sum)
		}
	})
	for _, damaged := range [][]byte{nil, []byte("font"), all[:5000]} {
		if _, err := subset(damaged, "a"); !errors.Is(err, errFont) {
			t.Errorf("%d bytes: %v", len(damaged), err)
		}
	}
}
