package report

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"regexp"
	"slices"
	"strings"

	"github.com/nb1shot/nb1shot/benchmark/claims"
	"github.com/nb1shot/nb1shot/internal/printable"
	"github.com/nb1shot/nb1shot/plots"
	"github.com/nb1shot/nb1shot/results"
)

var (
	//go:embed page.html
	pageText string
	// Style is the style sheet of a report's page, without its font.
	//go:embed page.css
	Style string
	// Rows is the template "rows", a Table as HTML.
	//go:embed rows.html
	Rows string

	pageTemplate = template.Must(template.Must(template.New("page").Parse(pageText)).Parse(Rows))
)

// pageContent is what the template of the page fills in.
type pageContent struct {
	Title      string
	Style      template.CSS
	Summary    string
	StandIns   []string // what is not what the benchmark is defined on
	Provenance []string
	Seeds      string
	Departures []string
	Warnings   []string
	Absent     []string
	Verdicts   []pageVerdicts
	Figures    []pageFigure
	Tables     []Table
	Program    string
	SealFile   string
}

type pageFigure struct {
	ID, Title    string
	Caption      []string
	Number       int
	Wide, Narrow template.HTML // drawings of the same
	Files        []string
}

// pageVerdicts is a table of verdicts, with the claims that they are on.
type pageVerdicts struct {
	Table
	Claims []claims.Claim
}

// Table is a table on a page.
type Table struct {
	ID, Title string
	First     string   // heading of the names
	Caption   []string // paragraphs
	Number    int
	Header    []string // of the other columns
	Words     bool     // whether they are of words, not of numbers
	Rows      [][]Cell // name first
	Files     []string // that have the same
}

// Cell is a text in a Table.
type Cell struct {
	Text  string
	Mark  string // Best or Second of its column, or empty
	Paper string // the paper's number, beside it; may be empty
}

// The marks of a Cell.
const (
	Best   = "best"
	Second = "second"
)

// Plain makes cells of texts.
func Plain(texts ...string) (cells []Cell) {
	for _, text := range texts {
		cells = append(cells, Cell{Text: text})
	}
	return cells
}

// page is the page of HTML. It loads nothing: figures and their font are in it.
func (s *study) page(verdicts []claimsTable, figures []*drawing, tables []table, program string) ([]byte, error) {
	var drawn strings.Builder
	for _, f := range figures {
		drawn.Write(f.wide)
		drawn.Write(f.narrow)
	}
	face, err := plots.FontStyle(drawn.String())
	if err != nil {
		return nil, err
	}
	content := pageContent{
		Style:      template.CSS(face + "\n" + Style),
		Title:      "Stability of one-shot searches on " + s.subject(),
		Summary:    s.summary(),
		StandIns:   s.standIns(),
		Provenance: []string{plots.ProvenanceNote(s.curves), devices(s.curves)},
		Seeds:      s.seedNote(s.curves),
		Departures: departures(s.curves, true),
		Warnings:   s.warnings(),
		Absent:     s.absent(),
		Program:    program,
		SealFile:   sealFile,
	}
	for i, f := range figures {
		content.Figures = append(content.Figures, pageFigure{
			ID: f.name, Title: f.title, Caption: f.paragraphs(), Number: i + 1, Files: f.files,
			Wide: inline(f.wide, "wide", f.alt), Narrow: inline(f.narrow, "narrow", f.alt),
		})
	}
	for i, t := range tables {
		content.Tables = append(content.Tables, t.onPage(i+1))
	}
	for i, v := range verdicts {
		content.Verdicts = append(content.Verdicts, pageVerdicts{v.onPage(i + 1), v.Claims})
	}
	var b bytes.Buffer
	if err := pageTemplate.Execute(&b, content); err != nil {
		return nil, fmt.Errorf("page: %w", err)
	}
	return []byte(printable.Text(b.String())), nil
}

// paragraphs is the caption on the page: what the page has not said of all, and the
// notes of the drawing.
func (d *drawing) paragraphs() []string {
	all := strings.Split(d.caption.page, "\n")
	for _, note := range d.notes {
		if !strings.Contains(d.caption.alone, note) { // the origin of the numbers
			all = append(all, note)
		}
	}
	return all
}

func (t table) onPage(number int) Table {
	p := Table{
		ID: "table-" + t.name, Title: t.title, First: t.heading(), Caption: strings.Split(t.caption.page, "\n"), Number: number, Words: t.words,
		Files: []string{t.name + ".csv", t.name + ".tex"},
	}
	for _, c := range t.columns {
		p.Header = append(p.Header, c.title)
	}
	for _, r := range t.rows {
		cells := Plain(r.name)
		for i, c := range t.columns {
			cells = append(cells, Cell{r.text(i, c), r.entries[i].mark, r.entries[i].paperText(c)})
		}
		p.Rows = append(p.Rows, cells)
	}
	return p
}

// svgStart is everything up to the end of the outermost opening tag of a figure.
var svgStart = regexp.MustCompile(`(?s)^.*?<svg[^>]*viewBox="([0-9. ]+)"[^>]*>`)

// inline turns a figure of package plots, whose texts are escaped, into an
// element of a page: without the prologue and the name space of a file, as wide
// as there is room, and with a text for those who cannot see it.
func inline(svg []byte, class, alt string) template.HTML {
	open := fmt.Sprintf(`<svg class="%s" role="img" aria-label="%s" viewBox="$1">`, class, strings.ReplaceAll(template.HTMLEscapeString(alt), "$", "$$"))
	return template.HTML(svgStart.ReplaceAll(svg, []byte(open)))
}

// subject is what the runs search.
func (s *study) subject() string {
	if len(s.onDARTS()) > 0 {
		return "the cell spaces of DARTS"
	}
	if slices.ContainsFunc(s.spaces, onText) {
		return "the recurrent cells of DARTS"
	}
	return "NAS-Bench-1Shot1"
}

// summary says what the report is of.
func (s *study) summary() string {
	runs, done := 0, 0
	for _, c := range s.curves {
		runs += len(c.Runs)
		done += len(complete(c))
	}
	text := fmt.Sprintf("%d %s of %d %s on search %s %s; %d finished.",
		runs, plural("run", runs), len(s.names), plural("algorithm", len(s.names)), plural("space", len(s.spaces)), nameRanges(s.spaces), done)
	if n := len(s.landscapes); n > 0 {
		text += fmt.Sprintf(" %d %s.", n, plural("landscape", n))
	}
	return text
}

// standIns names what the runs were measured on in place of CIFAR-10 and
// NAS-Bench-101.
func (s *study) standIns() []string {
	images, table := false, false
	for _, c := range s.curves {
		standIn, _ := c.Provenance.StandIns()
		images = images || standIn
		switch c.Provenance.Table {
		case results.NASBench101, results.NASBench101Means, results.NASBench101NNI, results.NoTable:
		default:
			table = true
		}
	}
	var all []string
	switch {
	case images && slices.ContainsFunc(s.spaces, onText):
		all = append(all, "The text is a stand-in, not Penn Treebank.")
	case images:
		all = append(all, "The images are a stand-in, not CIFAR-10.")
	}
	if table {
		all = append(all, "The test errors are a stand-in's, not NAS-Bench-101's.")
	}
	return all
}
