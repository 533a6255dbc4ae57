package plots

import (
	"bytes"
	"compress/zlib"
	_ "embed"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"math"
	"strings"
	"sync"
	"unicode/utf8"

	"codeberg.org/go-pdf/fpdf"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/vg"
)

// pdf is a vg.Canvas that draws a page of PDF. Unlike gonum's vgpdf it needs no
// temporary files for the font, draws characters that the eight-bit codes of an
// embedded font lack, such as λ, as the outlines of their glyphs, and leaves
// transparent colours as light as they are.
type pdf struct {
	doc           *fpdf.Fpdf
	width, height vg.Length
	stack         []pdfState
	images        int
}

// pdfState is what Push saves and the document does not.
type pdfState struct{ line vg.Length }

// fontDefinition is what fpdf.MakeFont says of Liberation Sans with the codes of
// Windows-1252.
//
//go:embed liberation-sans.json
var fontDefinition []byte

// compressedFont is the file of the font as a PDF holds it.
var compressedFont = sync.OnceValues(func() ([]byte, error) {
	ttf, err := wholeFont()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	z.Write(ttf) // to memory: no error
	z.Close()
	return b.Bytes(), nil
})

// pdfFont is what the document calls the font.
const pdfFont = "LiberationSans-Regular"

// newPDF returns an empty page of that size.
func newPDF(width, height vg.Length) *pdf {
	doc := fpdf.NewCustom(&fpdf.InitType{UnitStr: "pt", Size: fpdf.SizeType{Wd: width.Points(), Ht: height.Points()}})
	p := &pdf{doc: doc, width: width, height: height, stack: make([]pdfState, 1)}
	doc.SetMargins(0, 0, 0)
	doc.AddPage()
	p.Push()
	p.Translate(vg.Point{Y: height})
	p.Scale(1, -1)
	vg.Initialize(p)
	z, err := compressedFont()
	if err != nil {
		doc.SetError(err)
	}
	doc.AddFontFromBytes(pdfFont, "", fontDefinition, z)
	return p
}

// Size implements vg.CanvasSizer.
func (p *pdf) Size() (w, h vg.Length) { return p.width, p.height }

// SetLineWidth implements vg.Canvas.
func (p *pdf) SetLineWidth(w vg.Length) {
	p.stack[len(p.stack)-1].line = w
	p.doc.SetLineWidth(w.Points())
}

// SetLineDash implements vg.Canvas.
func (p *pdf) SetLineDash(pattern []vg.Length, offset vg.Length) {
	dashes := make([]float64, len(pattern))
	for i, d := range pattern {
		dashes[i] = d.Points()
	}
	p.doc.SetDashPattern(dashes, offset.Points())
}

// SetColor implements vg.Canvas.
func (p *pdf) SetColor(c color.Color) {
	if c == nil {
		c = color.Black
	}
	plain := color.NRGBAModel.Convert(c).(color.NRGBA)
	r, g, b := int(plain.R), int(plain.G), int(plain.B)
	p.doc.SetFillColor(r, g, b)
	p.doc.SetDrawColor(r, g, b)
	p.doc.SetTextColor(r, g, b)
	p.doc.SetAlpha(float64(plain.A)/math.MaxUint8, "Normal")
}

// Rotate implements vg.Canvas.
func (p *pdf) Rotate(radians float64) { p.doc.TransformRotate(-radians*180/math.Pi, 0, 0) }

// Translate implements vg.Canvas.
func (p *pdf) Translate(by vg.Point) { p.doc.TransformTranslate(by.X.Points(), by.Y.Points()) }

// Scale implements vg.Canvas.
func (p *pdf) Scale(x, y float64) { p.doc.TransformScale(x*100, y*100, 0, 0) }

// Push implements vg.Canvas.
func (p *pdf) Push() {
	p.stack = append(p.stack, p.stack[len(p.stack)-1])
	p.doc.TransformBegin()
}

// Pop implements vg.Canvas.
func (p *pdf) Pop() {
	p.doc.TransformEnd()
	p.stack = p.stack[:len(p.stack)-1]
}

// Stroke implements vg.Canvas.
func (p *pdf) Stroke(path vg.Path) {
	if p.stack[len(p.stack)-1].line > 0 {
		p.draw(path, "D")
	}
}

// Fill implements vg.Canvas.
func (p *pdf) Fill(path vg.Path) { p.draw(path, "F") }

func (p *pdf) draw(path vg.Path, style string) {
	var start vg.Point
	for _, c := range path {
		x, y := c.Pos.X.Points(), c.Pos.Y.Points()
		switch {
		case c.Type == vg.MoveComp:
			start = c.Pos
			p.doc.MoveTo(x, y)
		case c.Type == vg.LineComp:
			p.doc.LineTo(x, y)
		case c.Type == vg.CurveComp && len(c.Control) == 1:
			p.doc.CurveTo(c.Control[0].X.Points(), c.Control[0].Y.Points(), x, y)
		case c.Type == vg.CurveComp && len(c.Control) == 2:
			p.doc.CurveBezierCubicTo(c.Control[0].X.Points(), c.Control[0].Y.Points(), c.Control[1].X.Points(), c.Control[1].Y.Points(), x, y)
		case c.Type == vg.ArcComp:
			p.arc(c, style)
		case c.Type == vg.CloseComp:
			p.doc.LineTo(start.X.Points(), start.Y.Points())
			p.doc.ClosePath()
		default:
			p.doc.SetErrorf("a path has a part of kind %d with %d control points", c.Type, len(c.Control))
		}
	}
	p.doc.DrawPath(style)
}

// arc continues a path by part of a circle.
func (p *pdf) arc(c vg.PathComp, style string) {
	at := func(angle float64) (x, y float64) {
		sin, cos := math.Sincos(angle)
		return (c.Pos.X + c.Radius*vg.Length(cos)).Points(), (c.Pos.Y + c.Radius*vg.Length(sin)).Points()
	}
	const degree = math.Pi / 180
	p.doc.LineTo(at(c.Start))
	r := c.Radius.Points()
	p.doc.Arc(c.Pos.X.Points(), c.Pos.Y.Points(), r, r, c.Angle/degree, c.Start/degree, (c.Start+c.Angle)/degree, style)
	p.doc.MoveTo(at(c.Start + c.Angle))
}

// FillString implements vg.Canvas. All text is in one font.
func (p *pdf) FillString(face font.Face, at vg.Point, s string) {
	for s != "" {
		n := strings.IndexFunc(s, func(r rune) bool { return r >= utf8.RuneSelf })
		if n < 0 {
			n = len(s)
		}
		if n > 0 {
			p.text(face, at, s[:n])
		} else {
			_, n = utf8.DecodeRuneInString(s)
			p.Fill(outline(face, at, []rune(s[:n])[0]))
		}
		at.X += face.Width(s[:n])
		s = s[n:]
	}
}

// text draws ASCII.
func (p *pdf) text(face font.Face, at vg.Point, s string) {
	if face.Font.Size == 0 {
		return
	}
	p.doc.SetFont(pdfFont, "", face.Font.Size.Points())
	p.Push()
	defer p.Pop()
	p.Translate(at)
	p.Scale(1, -1) // fpdf counts from the upper edge
	_, size := p.doc.GetFontSize()
	d := p.doc.GetFontDesc(pdfFont, "")
	p.doc.MoveTo(-p.doc.GetCellMargin(), -float64(d.Ascent)*size/float64(d.Ascent-d.Descent))
	p.doc.CellFormat(p.doc.GetStringWidth(s), size, s, "", 0, "BL", false, 0, "")
}

// DrawImage implements vg.Canvas.
func (p *pdf) DrawImage(at vg.Rectangle, img image.Image) {
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		p.doc.SetError(err)
		return
	}
	p.images++
	name := fmt.Sprintf("image_%03d.png", p.images)
	options := fpdf.ImageOptions{ImageType: "png", ReadDpi: true}
	p.doc.RegisterImageOptionsReader(name, options, &b)
	p.doc.ImageOptions(name, at.Min.X.Points(), at.Min.Y.Points(), at.Size().X.Points(), at.Size().Y.Points(), false, options, 0, "")
}

// WriteTo implements io.WriterTo. It ends the page.
func (p *pdf) WriteTo(w io.Writer) (int64, error) {
	p.Pop()
	var b bytes.Buffer
	if err := p.doc.Output(&b); err != nil {
		return 0, err
	}
	return b.WriteTo(w)
}

// outline is the path of one glyph with its origin at a point.
func outline(face font.Face, at vg.Point, r rune) vg.Path {
	em := face.Face.UnitsPerEm()
	index, err := face.Face.GlyphIndex(nil, r)
	if err != nil {
		index = 0 // the box of a missing glyph
	}
	segments, err := face.Face.LoadGlyph(nil, index, fixed.Int26_6(em), nil)
	if err != nil {
		return nil
	}
	point := func(p fixed.Point26_6) vg.Point {
		scale := face.Font.Size / vg.Length(em)
		return at.Add(vg.Point{X: vg.Length(p.X) * scale, Y: -vg.Length(p.Y) * scale})
	}
	var path vg.Path
	for _, s := range segments {
		switch s.Op {
		case sfnt.SegmentOpMoveTo:
			path.Move(point(s.Args[0]))
		case sfnt.SegmentOpLineTo:
			path.Line(point(s.Args[0]))
		case sfnt.SegmentOpQuadTo:
			path.QuadTo(point(s.Args[0]), point(s.Args[1]))
		case sfnt.SegmentOpCubeTo:
			path.CubeTo(point(s.Args[0]), point(s.Args[1]), point(s.Args[2]))
		}
	}
	return path
}
