package nasbench

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"math"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/nb1shot/nb1shot/spaces/cell"
)

func TestGoldenRecords(t *testing.T) {
	expected := goldenRecords(t)
	raw := syntheticRecords(t)
	if len(raw) != len(expected) {
		t.Fatalf("%d records, want %d", len(raw), len(expected))
	}
	for i, want := range expected {
		got, err := parseRecord(raw[i])
		if err != nil {
			t.Fatalf("record %d: %v", i, err)
		}
		w := record{hash: want.ModuleHash, epochs: want.Epochs, spec: mustParse(t, want.Matrix, want.Ops...)}
		w.metrics.parameters, w.metrics.totalTime = want.TrainableParameters, want.TotalTime
		for j, e := range want.EvaluationData {
			w.metrics.evaluations = append(w.metrics.evaluations, evaluationData{e.CurrentEpoch, want.evaluation(j)})
		}
		if diff := cmp.Diff(w, got, cmp.AllowUnexported(record{}, modelMetrics{}, evaluationData{}), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("record %d (-want +got):\n%s", i, diff)
		}
	}
}

// encode writes the message as protobuf.
func (m modelMetrics) encode() []byte {
	var b []byte
	double := func(b []byte, field protowire.Number, x float64) []byte {
		return protowire.AppendFixed64(protowire.AppendTag(b, field, protowire.Fixed64Type), math.Float64bits(x))
	}
	for _, e := range m.evaluations {
		var inner []byte
		for i, x := range []float64{e.currentEpoch, e.Seconds, e.TrainAccuracy, e.ValidationAccuracy, e.TestAccuracy} {
			inner = double(inner, protowire.Number(i+1), x)
		}
		b = protowire.AppendBytes(protowire.AppendTag(b, 1, protowire.BytesType), inner)
	}
	b = protowire.AppendVarint(protowire.AppendTag(b, 2, protowire.VarintType), uint64(int64(m.parameters)))
	return double(b, 3, m.totalTime)
}

// encode writes the record as its JSON array.
func (r record) encode(t testing.TB) []byte {
	t.Helper()
	var adjacency strings.Builder
	for _, row := range r.spec.Matrix {
		for _, entry := range row {
			adjacency.WriteByte('0' + entry)
		}
	}
	data, err := json.Marshal([]any{r.hash, r.epochs, adjacency.String(), strings.Join(r.spec.OpNames(), ","), base64.StdEncoding.EncodeToString(r.metrics.encode())})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// chainRecord is a record of input → op → output with the given final test accuracy.
func chainRecord(t testing.TB, op cell.Op, epochs int, test float64) record {
	t.Helper()
	spec := mustParse(t, [][]int{{0, 1, 0}, {0, 0, 1}, {0, 0, 0}}, "input", op.String(), "output")
	hash, err := spec.Hash()
	if err != nil {
		t.Fatal(err)
	}
	return record{hash, epochs, spec, modelMetrics{
		parameters:  1000,
		totalTime:   250,
		evaluations: []evaluationData{{}, {54, Evaluation{100, 0.5, 0.5, 0.5}}, {108, Evaluation{200, 0.75, 0.5, test}}},
	}}
}

func TestParseRecordRefuses(t *testing.T) {
	valid := string(chainRecord(t, cell.Conv3x3, 108, 0.5).encode(t))
	if _, err := parseRecord([]byte(valid)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, old, new, want string }{
		{"no JSON", `[`, `{`, "decode record"},
		{"a sixth element", `]`, `,1]`, "6 elements"},
		{"short hash", `["b4`, `["b`, "decode module_hash"},
		{"text for epochs", `108`, `"108"`, "decode epochs"},
		{"no epochs", `108`, `null`, "epochs is 0"},
		{"negative epochs", `108`, `-1`, "epochs is -1"},
		{"adjacency that is no square", `010001000`, `01000100`, "square"},
		{"adjacency with another digit", `010001000`, `010002000`, `'2' at position 5`},
		{"empty adjacency", `010001000`, ``, "matrix"},
		{"backward edge", `010001000`, `010001100`, "upper triangular"},
		{"unknown operation", `conv3x3-bn-relu`, `conv5x5-bn-relu`, "conv5x5"},
		{"operation missing", `conv3x3-bn-relu,`, ``, "2 names for 3 vertices"},
		{"bad base64", `,"C`, `,"!`, "decode raw_metrics"},
		{"bad protobuf", `,"C`, `,"D`, "decode raw_metrics"},
	} {
		t.Run(c.name, func(t *testing.T) {
			changed := strings.Replace(valid, c.old, c.new, 1)
			if changed == valid {
				t.Fatalf("%q is not in %s", c.old, valid)
			}
			if _, err := parseRecord([]byte(changed)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}

func TestParseRecordAllowsLineBreaks(t *testing.T) {
	r := chainRecord(t, cell.Conv1x1, 108, 0.5)
	data := r.encode(t)
	i := bytes.LastIndexByte(data, ',') + 10
	broken := append(append(bytes.Clone(data[:i]), `\r\n`...), data[i:]...)
	got, err := parseRecord(broken)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(r, got, cmp.AllowUnexported(record{}, modelMetrics{}, evaluationData{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestParseModelMetrics(t *testing.T) {
	for _, c := range []struct {
		name string
		data []byte
		want modelMetrics
	}{
		{"nothing", nil, modelMetrics{}},
		{"parameters", []byte{0x10, 0xac, 0x02}, modelMetrics{parameters: 300}},
		{"the last value counts", []byte{0x10, 1, 0x10, 2}, modelMetrics{parameters: 2}},
		{"negative int32", []byte{0x10, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}, modelMetrics{parameters: -1}},
		{"unknown fields of every wire type", []byte{0x38, 1, 0x39, 1, 2, 3, 4, 5, 6, 7, 8, 0x3a, 2, 9, 9, 0x3d, 1, 2, 3, 4, 0x10, 5}, modelMetrics{parameters: 5}},
		{"known field of another wire type", []byte{0x12, 1, 7, 0x10, 5}, modelMetrics{parameters: 5}},
		{"empty evaluation", []byte{0x0a, 0}, modelMetrics{evaluations: []evaluationData{{}}}},
		{"checkpoint path", []byte{0x0a, 3, 0x32, 1, 'x'}, modelMetrics{evaluations: []evaluationData{{}}}},
		{"total time", []byte{0x19, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f}, modelMetrics{totalTime: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := parseModelMetrics(c.data)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(modelMetrics{}, evaluationData{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	for _, c := range []struct {
		name string
		data []byte
	}{
		{"truncated tag", []byte{0x80}},
		{"truncated varint", []byte{0x10, 0x80}},
		{"varint of more than 64 bits", []byte{0x10, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2}},
		{"truncated double", []byte{0x19, 0, 0, 0}},
		{"truncated float", []byte{0x3d, 0, 0}},
		{"truncated message", []byte{0x0a, 5, 0}},
		{"length of 2^64-1", []byte{0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}},
		{"truncated inside an evaluation", []byte{0x0a, 2, 0x09, 0}},
		{"field number 0", []byte{0x00, 0}},
		{"group", []byte{0x0b, 0x0c}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, err := parseModelMetrics(c.data); err == nil {
				t.Errorf("got %+v, want an error", got)
			}
		})
	}
}

func TestRepeatRefuses(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*modelMetrics)
	}{
		{"two evaluations", func(m *modelMetrics) { m.evaluations = m.evaluations[:2] }},
		{"accuracy above 1", func(m *modelMetrics) { m.evaluations[1].TestAccuracy = 1.5 }},
		{"accuracy below 0", func(m *modelMetrics) { m.evaluations[2].TrainAccuracy = -0.1 }},
		{"accuracy NaN", func(m *modelMetrics) { m.evaluations[2].ValidationAccuracy = math.NaN() }},
		{"infinite time", func(m *modelMetrics) { m.evaluations[2].Seconds = math.Inf(1) }},
		{"negative time", func(m *modelMetrics) { m.evaluations[1].Seconds = -1 }},
		{"negative parameters", func(m *modelMetrics) { m.parameters = -1 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := chainRecord(t, cell.Conv3x3, 108, 0.5).metrics
			if _, err := m.repeat(); err != nil {
				t.Fatal(err)
			}
			c.change(&m)
			if r, err := m.repeat(); err == nil {
				t.Errorf("got %+v, want an error", r)
			}
		})
	}
}

// FuzzRecord: what is read survives writing and reading again.
func FuzzRecord(f *testing.F) {
	raw := syntheticRecords(f)
	for _, data := range raw[:4] {
		f.Add(data)
	}
	f.Add([]byte(`[null,1,"0100","input,output",""]`))
	f.Add([]byte(`[1,2,3,4,5]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := parseRecord(data)
		if err != nil {
			return
		}
		again, err := parseRecord(r.encode(t))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(r.encode(t), again.encode(t)) {
			t.Errorf("%+v became %+v", r, again)
		}
	})
}

// FuzzScanFields: what the quick scanners accept, encoding/json and cell.Parse read
// alike.
func FuzzScanFields(f *testing.F) {
	raw := syntheticRecords(f)
	f.Add(raw[0])
	f.Add([]byte(`["a",007,"","",""]`))
	f.Add([]byte(" [ \"\t\" ,1,\"0100\",\"input,output\",\"\\n\" ] \n"))
	f.Add([]byte(`["",1,"010001000","input,maxpool3x3,output","=\/"]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		scanned, ok := scanFields(data)
		if !ok {
			return
		}
		decoded, err := decodeFields(data)
		if err != nil {
			// Only characters that are not allowed between quotes, which are in no
			// hash, matrix, name or base64 text either.
			if _, err := parseRecord(data); err == nil {
				t.Errorf("%q is read, but %v", data, err)
			}
			return
		}
		if utf8.Valid(data) { // encoding/json replaces what is not
			if diff := cmp.Diff(decoded, scanned, cmp.AllowUnexported(fields{}), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%q (-decoded +scanned):\n%s", data, diff)
			}
		}
		spec, ok := scanCell(scanned.adjacency, scanned.operations)
		if !ok {
			return
		}
		matrix, err := parseAdjacency(scanned.adjacency)
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := cell.Parse(matrix, strings.Split(string(scanned.operations), ","))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(parsed, spec, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%q (-parsed +scanned):\n%s", data, diff)
		}
	})
}

// FuzzBase64: metrics are read where encoding/base64 and the message are.
func FuzzBase64(f *testing.F) {
	chain := chainRecord(f, cell.Conv3x3, 108, 0.5)
	text := base64.StdEncoding.EncodeToString(chain.metrics.encode())
	f.Add(text)
	f.Add(text[:40] + "\r\n" + text[40:])
	f.Add(strings.TrimRight(text, "="))
	f.Add("====")
	f.Fuzz(func(t *testing.T, text string) {
		if !utf8.ValidString(text) {
			return // JSON cannot hold it
		}
		data, err := json.Marshal([]any{chain.hash, 108, "010001000", "input,conv3x3-bn-relu,output", text})
		if err != nil {
			t.Fatal(err)
		}
		got, err := parseRecord(data)
		var want modelMetrics
		message, wantErr := base64.StdEncoding.DecodeString(text)
		if wantErr == nil {
			wantErr = want.parse(message)
		}
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("%q: %v, want %v", text, err, wantErr)
		}
		if err == nil && !bytes.Equal(got.metrics.encode(), want.encode()) {
			t.Errorf("%q: got %+v, want %+v", text, got.metrics, want)
		}
	})
}

// FuzzModelMetrics: what is read survives writing and reading again.
func FuzzModelMetrics(f *testing.F) {
	f.Add(chainRecord(f, cell.Conv3x3, 108, 0.5).metrics.encode())
	f.Add([]byte{0x38, 1, 0x39, 1, 2, 3, 4, 5, 6, 7, 8, 0x3a, 2, 9, 9, 0x3d, 1, 2, 3, 4, 0x10, 5})
	f.Add([]byte{0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := parseModelMetrics(data)
		if err != nil {
			return
		}
		again, err := parseModelMetrics(m.encode())
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(m.encode(), again.encode()) {
			t.Errorf("%+v became %+v", m, again)
		}
	})
}
