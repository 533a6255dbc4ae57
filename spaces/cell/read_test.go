package cell

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// The same cell, as people have it.
func TestRead(t *testing.T) {
	want := fromRows(t, []string{"0110", "0001", "0001", "0000"}, Conv3x3, MaxPool3x3)
	const (
		matrix = `[[0,1,1,0],[0,0,0,1],[0,0,0,1],[0,0,0,0]]`
		ops    = `["input","conv3x3-bn-relu","maxpool3x3","output"]`
	)
	for name, text := range map[string]string{
		"ours":                  `{"matrix":` + matrix + `,"operations":` + ops + `}`,
		"matrix and ops":        `{"matrix": ` + matrix + `, "ops": ` + ops + `}`,
		"of NAS-Bench-101":      `{"module_adjacency": ` + matrix + `, "module_operations": ` + ops + `, "trainable_parameters": 8555530}`,
		"operations first":      `{"ops": ` + ops + `, "module_adjacency": ` + matrix + `}`,
		"inner operations only": `{"matrix": ` + matrix + `, "ops": ["conv3x3-bn-relu", "maxpool3x3"]}`,
		"byte order mark":       "\ufeff" + `{"matrix":` + matrix + `,"operations":` + ops + `}`,
		"CRLF":                  "{\"matrix\": " + matrix + ",\r\n\"ops\": " + ops + "}\r\n",
		"floats":                `{"matrix": [[0.0,1.0,1.0,0.0],[0,0,0,1e0],[0.00,0,0,1.],[0.,-0.0,0e5,0]], "ops": ` + ops + `}`,
		"booleans":              `{"matrix": [[false,true,true,false],[false,false,false,true],[false,false,false,true],[false,false,false,false]], "ops": ` + ops + `}`,
		"rows of digits":        `{"matrix": ["0110", "0001", "0001", "0000"], "ops": ` + ops + `}`,
		"texts":                 `{"matrix": "[[0, 1, 1, 0], [0, 0, 0, 1], [0, 0, 0, 1], [0, 0, 0, 0]]", "ops": "['conv3x3-bn-relu', 'maxpool3x3']"}`,
		"other members":         `{"note": "\ud83d\u00e9\"", "matrix": ` + matrix + `, "x": null, "y": {}, "ops": ` + ops + `}`,
		"answer of query":       `{"hash":"7c65","source":{"kind":"full"},"cell":{"matrix":` + matrix + `,"operations":` + ops + `}}`,
		"Python":                `{'matrix': [(0, 1, 1, 0), (0, 0, 0, True), (False, 0, 0, 1,), [0, 0, 0, 0],], 'ops': ('input', 'conv3x3-bn-relu', "maxpool3x3", u'output')}`,
		"NumPy 1": `{'module_adjacency': array([[0, 1, 1, 0],
       [0, 0, 0, 1],
       [0, 0, 0, 1],
       [0, 0, 0, 0]], dtype=int8), 'module_operations': ['input', 'conv3x3-bn-relu', 'maxpool3x3', 'output']}`,
		"NumPy 2":           `{'matrix': np.array([[np.int64(0), 1, np.True_ , 0],[0, 0, 0, 1],[0, 0, 0, 1],[0, 0, 0, 0]]), 'ops': [np.str_('input'), 'conv3x3-bn-relu', 'maxpool3x3', 'output']}`,
		"NumPy of texts":    `{'matrix': array([[0., 1., 1., 0.],[0., 0., 0., 1.],[0., 0., 0., 1.],[0., 0., 0., 0.]]), 'ops': array(['input', 'conv3x3-bn-relu', 'maxpool3x3', 'output'], dtype='<U15')}`,
		"PyTorch":           `{'matrix': tensor([[0., 1., 1., 0.],[0., 0., 0., 1.],[0., 0., 0., 1.],[0., 0., 0., 0.]], device='cuda:0'), 'ops': ` + ops + `}`,
		"pair":              `(` + matrix + `, ` + ops + `)`,
		"pair of lines":     matrix + "\n" + ops,
		"assignments":       "matrix = " + matrix + "\nops = " + ops,
		"call without name": `ModelSpec(` + matrix + `, ` + ops + `)`,
		"NAS-Bench-101's README": `
model_spec = api.ModelSpec(
    # Adjacency matrix of the module
    matrix=[[0, 1, 1, 0],    # input layer
            [0, 0, 0, 1],    # 3x3 conv
            [0, 0, 0, 1],    # 3x3 max-pool
            [0, 0, 0, 0]],   # output layer
    # Operations at the vertices of the module, matches order of matrix.
    ops=[INPUT, CONV3X3, MAXPOOL3X3, OUTPUT])
`,
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Read([]byte(text))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestReadParts(t *testing.T) {
	want := fromRows(t, []string{"0110", "0001", "0001", "0000"}, Conv3x3, MaxPool3x3)
	matrices := map[string]string{
		"digits":             "0110,0001,0001,0000",
		"digits and blanks":  "0110, 0001, 0001, 0000",
		"blanks":             "0110 0001 0001 0000",
		"lines":              "0110\n0001\n0001\n0000\n",
		"lines and commas":   "0110,\r\n0001,\r\n0001,\r\n0000,\r\n",
		"entries":            "0 1 1 0, 0 0 0 1, 0 0 0 1, 0 0 0 0",
		"lines of entries":   "0 1 1 0\n0 0 0 1\n\n0 0 0 1\n0 0 0 0",
		"CSV":                "0,1,1,0\n0,0,0,1\n0,0,0,1\n0,0,0,0\n",
		"tabs":               "0\t1\t1\t0\n0\t0\t0\t1\n0\t0\t0\t1\n0\t0\t0\t0\n",
		"savetxt":            "0.0e+00 1.0e+00 1.0e+00 0.0e+00; 0 0 0 1; 0 0 0 1; 0 0 0 0",
		"MATLAB":             "[0 1 1 0; 0 0 0 1; 0 0 0 1; 0 0 0 0]",
		"JSON":               "[[0,1,1,0],[0,0,0,1],[0,0,0,1],[0,0,0,0]]",
		"rows without outer": "[0,1,1,0],[0,0,0,1],[0,0,0,1],[0,0,0,0]",
		"quoted rows":        "'0110', '0001', '0001', '0000'",
		"list of digits":     "[0110, 0001, 0001, 0000]",
		"tuples":             "((0, 1, 1, 0), (0, 0, 0, 1), (0, 0, 0, 1), (0, 0, 0, 0))",
		"repr":               "array([[0, 1, 1, 0],\n       [0, 0, 0, 1],\n       [0, 0, 0, 1],\n       [0, 0, 0, 0]], dtype=int8)",
		"print":              "[[0 1 1 0]\n [0 0 0 1]\n [0 0 0 1]\n [0 0 0 0]]",
		"print of floats":    "[[0. 1. 1. 0.]\n [0. 0. 0. 1.]\n [0. 0. 0. 1.]\n [0. 0. 0. 0.]]",
		"print of booleans":  "[[False  True  True False]\n [False False False  True]\n [False False False  True]\n [False False False False]]",
	}
	for name, matrix := range matrices {
		t.Run("matrix, "+name, func(t *testing.T) {
			got, err := ReadParts(matrix, "conv3x3-bn-relu,maxpool3x3")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	for _, ops := range []string{
		"conv3x3-bn-relu,maxpool3x3", "conv3x3-bn-relu, maxpool3x3", "conv3x3-bn-relu maxpool3x3", "conv3x3-bn-relu\nmaxpool3x3\n",
		"input,conv3x3-bn-relu,maxpool3x3,output", `"conv3x3-bn-relu","maxpool3x3"`, `'conv3x3-bn-relu', 'maxpool3x3'`,
		`["input", "conv3x3-bn-relu", "maxpool3x3", "output"]`, `['input', 'conv3x3-bn-relu', 'maxpool3x3', 'output']`,
		`('conv3x3-bn-relu', 'maxpool3x3')`, `[conv3x3-bn-relu, maxpool3x3]`, `['input' 'conv3x3-bn-relu' 'maxpool3x3' 'output']`,
		`array(['conv3x3-bn-relu', 'maxpool3x3'], dtype='<U15')`, "CONV3X3,MAXPOOL3X3", "conv3x3,maxpool3x3", "[INPUT, Conv3x3-BN-ReLU, MAXPOOL3X3, OUTPUT]",
	} {
		t.Run("ops, "+ops, func(t *testing.T) {
			got, err := ReadParts("0110,0001,0001,0000", ops)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	if got, err := ReadParts("01,00", ""); err != nil || got.Vertices() != 2 {
		t.Errorf("a cell without operations: %v, %v", got, err)
	}
}

// Every error says what is wrong and where.
func TestReadRejects(t *testing.T) {
	const ops = "conv3x3-bn-relu"
	for _, tc := range []struct{ matrix, ops, want string }{
		{"[[0,0.5,0],[0,0,1],[0,0,0]]", ops, `adjacency matrix row 0, column 1: entry is 0.5, want 0 or 1`},
		{"[[0,1,0],[0,0,2.0],[0,0,0]]", ops, `adjacency matrix row 1, column 2: entry is 2.0, want 0 or 1`},
		{"[[0,1,0],[0,0,1e-400],[0,0,0]]", ops, `adjacency matrix row 1, column 2: entry is 1e-400, want 0 or 1`},
		{"[[0,1.0000000000000000001,0],[0,0,1],[0,0,0]]", ops, `adjacency matrix row 0, column 1: entry is 1.0000000000000000001, want 0 or 1`},
		{"[[0,01,0],[0,0,1],[0,0,0]]", ops, `adjacency matrix row 0, column 1: entry is 01, want 0 or 1`},
		{"[[0,-1,0],[0,0,1],[0,0,0]]", ops, `adjacency matrix row 0, column 1: entry is -1, want 0 or 1`},
		{"[[0,nan,0],[0,0,1],[0,0,0]]", ops, `adjacency matrix row 0, column 1: entry is nan, want 0 or 1`},
		{"[[0,null,0],[0,0,1],[0,0,0]]", ops, `adjacency matrix row 0, column 1: entry is null, want 0 or 1`},
		{`[[0,"1",0],[0,0,1],[0,0,0]]`, ops, `adjacency matrix row 0, column 1: entry is the text "1", want 0 or 1`},
		{"[[0,[1],0],[0,0,1],[0,0,0]]", ops, `adjacency matrix row 0, column 1: entry is a list, want 0 or 1`},
		{"[[0,1,0],{},[0,0,0]]", ops, `adjacency matrix row 1: an object, want a list of 0 and 1`},
		{"[[0,1,0],[0,1],[0,0,0]]", ops, `adjacency matrix row 1: 2 entries, want 3: the matrix is square`},
		{"[[0 1 0]\n [0 0 x]\n [0 0 0]]", ops, `adjacency matrix row 1, column 2: entry is x, want 0 or 1`},
		{"012,001,000", ops, `adjacency matrix row 0, column 2: entry is 2, want 0 or 1`},
		{"0 1 0\n0 0 0.5\n0 0 0", ops, `adjacency matrix row 1, column 2: entry is 0.5, want 0 or 1`},
		{"0 1 0\n0 0 1\n1 0 0", ops, `adjacency matrix row 2, column 0: edges lead from lower to higher vertices only: the matrix is strictly upper triangular`},
		{"[[0,1", ops, `adjacency matrix: line 1, column 6: the text ends in the middle`},
		{"[[0,1,0],\n[0,,1],[0,0,0]]", ops, `adjacency matrix: line 2, column 4: ',' where a value is wanted`},
		{"[[0,1,0],[0,0,1],[0,0,0]]]", ops, `adjacency matrix: line 1, column 26: ']' where a value is wanted`},
		{"", ops, `adjacency matrix: 0 rows, want at least 2, for input and output`},
		{"010,001,000", "conv5x5", `operation "conv5x5" of vertex 1: want one of ["conv3x3-bn-relu" "conv1x1-bn-relu" "maxpool3x3"]`},
		{"010,001,000", "[1]", `operation "1" of vertex 1: want one of ["conv3x3-bn-relu" "conv1x1-bn-relu" "maxpool3x3"]`},
		{"010,001,000", "['conv3x3-bn-relu", `operations: line 1, column 2: the quotation mark is never closed`},
		{"010,001,000", "[['conv3x3-bn-relu']]", `operations: number 0 is a list, want a name`},
		{"01,00", ops, `operations: 1 name for 2 vertices, want 0, or 2 with "input" and "output"`},
		{"010,001,000", "", `operations: 0 names for 3 vertices, want 1, or 3 with "input" and "output"`},
		{"0100,0010,0001,0000", "input," + ops + ",output", `operations: 3 names for 4 vertices, want 2, or 4 with "input" and "output"`},
	} {
		got, err := ReadParts(tc.matrix, tc.ops)
		if err == nil || err.Error() != tc.want {
			t.Errorf("ReadParts(%q, %q): %v, error\n%v, want\n%v", tc.matrix, tc.ops, got, err, tc.want)
		}
	}
	for _, tc := range []struct{ text, want string }{
		{`{"matrix": [[0,1],[0,0]]}`, `the operations are missing: they are called one of ["operations" "ops" "module_operations"]`},
		{`{"ops": []}`, `the matrix is missing: it is called one of ["matrix" "module_adjacency" "adjacency" "adjacency_matrix"]`},
		{`{"matrix": [[0,1],[0,0]], "module_adjacency": [[0,1],[0,0]], "ops": []}`, `"module_adjacency": this part of the cell is given twice`},
		{`{}`, errNoCell.Error()},
		{``, errNoCell.Error()},
		{`{"a": {"b": 1}, "c": {}}`, errNoCell.Error()},
		{`{"matrix": 1, "ops": []}`, `adjacency matrix: 1, want a list of rows`},
		{`{"matrix": [[0,1],[0,0]], "ops": null}`, `operations: null, want a list of names`},
		{"{\"matrix\": [[0,1],[0,0]],\n \"ops\" []}", `line 2, column 8: want NAME: VALUE between braces`},
		{strings.Repeat("[", 1000), `line 1, column 33: nested deeper than 32`},
	} {
		got, err := Read([]byte(tc.text))
		if err == nil || err.Error() != tc.want {
			t.Errorf("Read(%.60q): %v, error\n%v, want\n%v", tc.text, got, err, tc.want)
		}
	}
}

// Any cell is read from what JSON, Python and NumPy make of it.
func TestReadAnyCell(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawCell(t)
		ours, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		matrix := fmt.Sprint(want.Matrix) // as NumPy prints it
		python := fmt.Sprintf("{'module_adjacency': array(%s, dtype=int8), 'module_operations': ['%s']}",
			strings.ReplaceAll(matrix, " ", ", "), strings.Join(want.OpNames(), "', '"))
		for _, text := range []string{string(ours), python, "{'matrix': " + matrix + ", 'ops': " + fmt.Sprintf("%q", want.OpNames()) + "}"} {
			got, err := Read([]byte(text))
			if err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			if diff := cmp.Diff(want, got, cmpEmptyOps); diff != "" {
				t.Fatalf("%s (-want +got):\n%s", text, diff)
			}
		}
	})
}

// FuzzRead: whatever the text, there is a valid cell, which is read again from
// what is written of it, or an error that says why.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{
		`{"module_adjacency": [[0.0,1],[0,0]], "module_operations": "input,output"}`,
		"{'matrix': array([[0, 1],\n [0, 0]], dtype=int8), 'ops': ()}", "ModelSpec(matrix=[[0 1][0. False]], ops=['input' 'output']) # x",
		"{'matrix': '01,00', \"ops\": ''}", "[0 1; 0 0], ()", "(((", "{'\\u00", "a=b=c", "\ufeff{}", "{{}:{}}", "b'x'", "x((),[])",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Read([]byte(text))
		if err != nil {
			if err.Error() == "" {
				t.Error("an error without a word")
			}
			return
		}
		written, err := json.Marshal(s)
		if err != nil {
			t.Fatalf("%q was read but not written: %v", text, err)
		}
		back, err := Read(written)
		if diff := cmp.Diff(s, back, cmpEmptyOps); diff != "" || err != nil {
			t.Errorf("%q: %v (-first +again):\n%s", text, err, diff)
		}
		if _, err := s.Prune(); err != nil && !errors.Is(err, ErrDisconnected) {
			t.Errorf("a valid cell does not prune: %v", err)
		}
	})
}

// FuzzReadParts: whatever the matrix and the names, there is a cell or an error.
func FuzzReadParts(f *testing.F) {
	f.Add("0110,0001,0001,0000", "conv3x3-bn-relu,maxpool3x3")
	f.Add("[[0,1,1],[0,0,1],[0,0,0]]", "input conv1x1-bn-relu output")
	f.Add("[[0. 1.]\n [0. 0.]]", "[]")
	f.Add("[[", "")
	f.Add("01;00", "['input', \"output\"]")
	f.Fuzz(func(t *testing.T, matrix, ops string) {
		spec, err := ReadParts(matrix, ops)
		if err != nil {
			return
		}
		if len(spec.Ops) != spec.Vertices()-2 {
			t.Errorf("%d operations for %d vertices", len(spec.Ops), spec.Vertices())
		}
		hash, err := spec.Hash()
		if checked := spec.Check(); (err == nil) != (checked == nil) {
			t.Errorf("hash %v, %v; but Check: %v", hash, err, checked)
		}
	})
}
