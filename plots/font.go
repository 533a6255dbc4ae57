package plots

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"image/color"
	"maps"
	"regexp"
	"slices"
)

// fontFamily is what SVG calls the font.
const fontFamily = "Liberation Sans"

// Font returns the font of all figures, as a TrueType file with the characters of a
// text alone, and the name of its family in SVG.
func Font(text string) (family string, ttf []byte, err error) {
	whole, err := wholeFont()
	if err == nil {
		ttf, err = subset(whole, text)
	}
	if err != nil {
		return "", nil, fmt.Errorf("font: %w", err)
	}
	return fontFamily, ttf, nil
}

// wholeFont is the font with all its characters.
func wholeFont() ([]byte, error) {
	style := textStyle(tickSize, color.Black)
	var b bytes.Buffer
	_, err := style.Handler.Cache().Lookup(style.Font, style.Font.Size).Face.WriteSourceTo(nil, &b)
	return b.Bytes(), err
}

// svgStart ends with the opening tag of a figure.
var svgStart = regexp.MustCompile(`(?s)^.*?<svg[^>]*>`)

// embedFont puts into a figure of SVG the characters of the font that it needs.
func embedFont(svg []byte) ([]byte, error) {
	style, err := FontStyle(string(svg))
	if err != nil {
		return nil, err
	}
	at := len(svgStart.Find(svg))
	return slices.Concat(svg[:at], []byte("\n<style>"+style+"</style>"), svg[at:]), nil
}

// FontStyle is a style sheet that brings the font of all figures, with the characters
// of a text alone.
func FontStyle(text string) (string, error) {
	family, ttf, err := Font(text)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("@font-face{font-family:%q;src:url(\"data:font/ttf;base64,%s\")}", family, base64.StdEncoding.EncodeToString(ttf)), nil
}

// errFont reports a font that is not as subset expects it.
var errFont = errors.New("not a TrueType font of the usual tables")

// subset returns a TrueType font with the glyphs of a text's characters alone, as they
// are in the whole one. Characters that it lacks are left out.
func subset(ttf []byte, text string) (small []byte, err error) {
	defer func() {
		if recover() != nil { // an offset beyond the file
			err = errFont
		}
	}()
	u16 := func(b []byte, at int) int { return int(binary.BigEndian.Uint16(b[at:])) }
	u32 := func(b []byte, at int) int { return int(binary.BigEndian.Uint32(b[at:])) }
	tables := map[string][]byte{}
	for i := range u16(ttf, 4) {
		entry := ttf[12+16*i:]
		tables[string(entry[:4])] = ttf[u32(entry, 8):][:u32(entry, 12)]
	}
	for _, name := range []string{"cmap", "glyf", "head", "hhea", "hmtx", "loca", "maxp", "name", "OS/2", "post"} {
		if tables[name] == nil {
			return nil, errFont
		}
	}
	glyph := func(i int) []byte {
		loca, glyf := tables["loca"], tables["glyf"]
		if u16(tables["head"], 50) == 0 {
			return glyf[2*u16(loca, 2*i) : 2*u16(loca, 2*i+2)]
		}
		return glyf[u32(loca, 4*i):u32(loca, 4*i+4)]
	}

	// The old numbers of the glyphs by their new ones, which are those of the
	// characters in their order, then of the parts that these are made of.
	kept := []int{0}
	number := map[int]int{0: 0}
	keep := func(old int) int {
		if _, ok := number[old]; !ok {
			number[old] = len(kept)
			kept = append(kept, old)
		}
		return number[old]
	}
	glyphOf, err := characterMap(tables["cmap"])
	if err != nil {
		return nil, err
	}
	characters := map[rune]int{}
	for _, r := range slices.Sorted(slices.Values([]rune(text))) {
		if old := glyphOf(r); old != 0 {
			characters[r] = keep(old)
		}
	}
	var glyf, loca, hmtx []byte
	metrics := u16(tables["hhea"], 34) // those after the last have its advance
	for i := 0; i < len(kept); i++ {
		g := slices.Clone(glyph(kept[i]))
		if len(g) > 0 && int16(u16(g, 0)) < 0 { // made of others
			const words, scale, more, scales, matrix = 1, 8, 0x20, 0x40, 0x80
			for at, flags := 10, more; flags&more != 0; {
				flags = u16(g, at)
				binary.BigEndian.PutUint16(g[at+2:], uint16(keep(u16(g, at+2))))
				at += 6
				for flag, size := range map[int]int{words: 2, scale: 2, scales: 4, matrix: 8} {
					if flags&flag != 0 {
						at += size
					}
				}
			}
		}
		loca = binary.BigEndian.AppendUint32(loca, uint32(len(glyf)))
		glyf = append(glyf, g...)
		for len(glyf)%4 != 0 {
			glyf = append(glyf, 0)
		}
		m := min(kept[i], metrics-1)
		bearing := tables["hmtx"][4*m+2:]
		if kept[i] >= metrics {
			bearing = tables["hmtx"][4*metrics+2*(kept[i]-metrics):]
		}
		hmtx = append(append(hmtx, tables["hmtx"][4*m:4*m+2]...), bearing[:2]...)
	}
	loca = binary.BigEndian.AppendUint32(loca, uint32(len(glyf)))

	put := func(name string, at, value int) {
		tables[name] = slices.Clone(tables[name])
		binary.BigEndian.PutUint16(tables[name][at:], uint16(value))
	}
	put("head", 50, 1) // long offsets
	put("hhea", 34, len(kept))
	put("maxp", 4, len(kept))
	post := slices.Clone(tables["post"][:32])
	binary.BigEndian.PutUint32(post, 0x30000) // without names of glyphs
	return assembleFont(map[string][]byte{
		"cmap": newCharacterMap(characters), "glyf": glyf, "head": tables["head"], "hhea": tables["hhea"], "hmtx": hmtx, "loca": loca,
		"maxp": tables["maxp"], "name": newNames(fontFamily), "OS/2": tables["OS/2"], "post": post,
		"cvt ": tables["cvt "], "fpgm": tables["fpgm"], "prep": tables["prep"], // by which glyphs are hinted
	}), nil
}

// characterMap reads the glyphs of the characters below U+10000.
func characterMap(cmap []byte) (func(rune) int, error) {
	u16 := func(at int) int { return int(binary.BigEndian.Uint16(cmap[at:])) }
	for i := range u16(2) {
		at := int(binary.BigEndian.Uint32(cmap[8+8*i:]))
		if u16(at) != 4 {
			continue
		}
		n := u16(at + 6) // twice the number of segments
		ends, starts, deltas, offsets := at+14, at+16+n, at+16+2*n, at+16+3*n
		return func(r rune) int {
			for s := 0; s < n; s += 2 {
				if r < 0 || int(r) > u16(ends+s) || int(r) < u16(starts+s) {
					continue
				}
				glyph := int(r)
				if offset := u16(offsets + s); offset != 0 {
					if glyph = u16(offsets + s + offset + 2*(int(r)-u16(starts+s))); glyph == 0 {
						return 0
					}
				}
				return (glyph + u16(deltas+s)) & 0xffff
			}
			return 0
		}, nil
	}
	return nil, errFont
}

// newCharacterMap is a map with one segment for each character.
func newCharacterMap(glyphs map[rune]int) []byte {
	characters := append(slices.Sorted(maps.Keys(glyphs)), 0xffff)
	n := len(characters)
	power := 1
	for 2*power <= n {
		power *= 2
	}
	log := 0
	for 1<<log < power {
		log++
	}
	table := []int{4, 16 + 8*n, 0, 2 * n, 2 * power, log, 2 * (n - power)}
	for _, r := range characters { // ends
		table = append(table, int(r))
	}
	table = append(table, 0)
	for _, r := range characters { // starts
		table = append(table, int(r))
	}
	for _, r := range characters { // from character to glyph
		table = append(table, glyphs[r]-int(r))
	}
	table = append(table, make([]int, n)...)
	b := []byte{0, 0, 0, 1, 0, 3, 0, 1, 0, 0, 0, 12} // one table, of Unicode for Windows
	for _, x := range table {
		b = binary.BigEndian.AppendUint16(b, uint16(x))
	}
	return b
}

// newNames is a table with the name of the family.
func newNames(family string) []byte {
	var text []byte
	for _, r := range family {
		text = binary.BigEndian.AppendUint16(text, uint16(r))
	}
	var b []byte
	names := []int{1, 4, 6} // of the family, in full, for PostScript
	for _, x := range []int{0, len(names), 6 + 12*len(names)} {
		b = binary.BigEndian.AppendUint16(b, uint16(x))
	}
	for _, name := range names {
		for _, x := range []int{3, 1, 0x409, name, len(text), 0} {
			b = binary.BigEndian.AppendUint16(b, uint16(x))
		}
	}
	return append(b, text...)
}

// assembleFont writes the tables that are not empty as a TrueType file.
func assembleFont(tables map[string][]byte) []byte {
	maps.DeleteFunc(tables, func(_ string, t []byte) bool { return len(t) == 0 })
	names := slices.SortedFunc(maps.Keys(tables), cmp.Compare[string])
	n := len(names)
	power, log := 1, 0
	for 2*power <= n {
		power, log = 2*power, log+1
	}
	b := []byte{0, 1, 0, 0}
	for _, x := range []int{n, 16 * power, log, 16 * (n - power)} {
		b = binary.BigEndian.AppendUint16(b, uint16(x))
	}
	sum := func(t []byte) (sum uint32) {
		for i := 0; i < len(t); i += 4 {
			var word [4]byte
			copy(word[:], t[i:])
			sum += binary.BigEndian.Uint32(word[:])
		}
		return sum
	}
	tables["head"] = slices.Clone(tables["head"])
	clear(tables["head"][8:12]) // the sum of the whole file
	at := 12 + 16*n
	var body []byte
	head := 0
	for _, name := range names {
		t := tables[name]
		if name == "head" {
			head = at + len(body)
		}
		b = append(b, name...)
		for _, x := range []uint32{sum(t), uint32(at + len(body)), uint32(len(t))} {
			b = binary.BigEndian.AppendUint32(b, x)
		}
		body = append(body, t...)
		for len(body)%4 != 0 {
			body = append(body, 0)
		}
	}
	b = append(b, body...)
	binary.BigEndian.PutUint32(b[head+8:], 0xb1b0afba-sum(b))
	return b
}
