//go:build gpu

package cuda

import (
	"bytes"
	"debug/elf"
	"errors"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nb1shot/nb1shot/internal/engine/cuda/internal/libcuda"
)

// Variables of testdata/libcuda.c.
const (
	logVariable        = "FAKE_CUDA_LOG"
	failVariable       = "FAKE_CUDA_FAIL"
	versionVariable    = "FAKE_CUDA_VERSION"
	capabilityVariable = "FAKE_CUDA_CAPABILITY"
)

// A binary with the engine must start where there is no driver.
func TestNotLinkedToTheDriver(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	f, err := elf.Open(self)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	libraries, err := f.ImportedLibraries()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range libraries {
		if strings.HasPrefix(l, "libcuda") {
			t.Errorf("this binary needs %s to start", l)
		}
	}
	if err := libcuda.Load("libnone.so.1"); err == nil || !strings.HasPrefix(err.Error(), "no NVIDIA driver on this machine: libnone.so.1: ") {
		t.Errorf("error %v of a driver that is not there", err)
	}
}

// The driver against a library without a GPU, in a process of its own, since a process
// loads one library.
func TestDriver(t *testing.T) {
	if os.Getenv(logVariable) != "" {
		for _, c := range driverTests {
			t.Run(c.name, c.test)
		}
		return
	}
	dir := t.TempDir()
	flags, err := exec.Command("go", "env", "CGO_CFLAGS").Output()
	if err != nil {
		t.Fatal(err)
	}
	args := append(strings.Fields(string(flags)), "-I/usr/local/cuda/include", "-shared", "-fPIC", "-Wall", "-Werror",
		"-o", filepath.Join(dir, libcuda.Library), "testdata/libcuda.c")
	if out, err := exec.Command("gcc", args...).CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v\n%s", err, out)
	}
	child := exec.Command(os.Args[0], "-test.run=^TestDriver$", "-test.v")
	child.Env = append(os.Environ(), "LD_LIBRARY_PATH="+dir, logVariable+"="+filepath.Join(dir, "log"))
	out, err := child.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("--- PASS: TestDriver/"+driverTests[len(driverTests)-1].name)) {
		t.Errorf("%v\n%s", err, out)
	}
}

// In this order: after the first success the library stays loaded.
var driverTests = []struct {
	name string
	test func(*testing.T)
}{
	{"load", testLoad},
	{"start", testStart},
	{"memory", testMemory},
	{"staging", testStaging},
	{"launch", testLaunch},
	{"graph", testGraph},
	{"recording", testRecording},
	{"out-of-memory", testOutOfMemory},
	{"errors", testErrors},
	{"lost", testLost},
	{"close", testClose},
}

// calls returns what has been called since it was last asked.
func calls(t *testing.T) []string {
	t.Helper()
	log := os.Getenv(logVariable)
	text, err := os.ReadFile(log)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	if err := os.WriteFile(log, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for l := range strings.Lines(string(text)) {
		lines = append(lines, strings.TrimSpace(l))
	}
	return lines
}

func expectCalls(t *testing.T, want ...string) {
	t.Helper()
	if d := cmp.Diff(want, calls(t)); d != "" {
		t.Errorf("calls (-want +got):\n%s", d)
	}
}

func expectError(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || err.Error() != want {
		t.Errorf("error %v\nwant  %s", err, want)
	}
}

// opened returns a new driver, which is closed at the end and must leave nothing.
func opened(t *testing.T) Driver {
	t.Helper()
	d, err := open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		calls(t)
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		if !slices.Contains(calls(t), "alive 0") {
			t.Error("something was not freed")
		}
	})
	calls(t)
	return d
}

func noError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func allocated(t *testing.T, d Driver, bytes int) Address {
	t.Helper()
	a, err := d.Alloc(bytes)
	noError(t, err)
	return a
}

func testLoad(t *testing.T) {
	for _, c := range []struct{ name, variable, value, want string }{
		{"old driver", versionVariable, "11040", "CUDA engine: the NVIDIA driver knows CUDA 11.4, older than 11.8, for which this binary was built: update the driver"},
		{"the toolkit's library", failVariable, "cuDriverGetVersion=34", "CUDA engine: no NVIDIA driver on this machine: libcuda.so.1 is the one of the CUDA toolkit, to link with"},
		{"a driver that does not answer", failVariable, "cuDriverGetVersion=999", "CUDA engine: the NVIDIA driver does not tell its version: text (NAME, 999)"},
		{"no GPU", failVariable, "cuInit=100", "CUDA engine: the NVIDIA driver finds no GPU; if there is one, see nvidia-smi and CUDA_VISIBLE_DEVICES"},
		{"other versions of driver and kernel module", failVariable, "cuInit=803", "CUDA engine: the NVIDIA driver does not start: text (NAME, 803)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv(c.variable, c.value)
			_, err := open()
			expectError(t, err, c.want)
		})
	}
	calls(t)
}

func testStart(t *testing.T) {
	for _, c := range []struct{ name, variable, value, want string }{
		{"no GPU", failVariable, "cuDeviceGetCount=100", "CUDA engine: the NVIDIA driver finds no GPU; if there is one, see nvidia-smi and CUDA_VISIBLE_DEVICES"},
		{"old GPU", capabilityVariable, "75", "CUDA engine: No GPU has compute capability 7.5; the kernels need 8.0 or later (A100, H100)"},
		{"someone has it alone", failVariable, "cuDevicePrimaryCtxRetain=46", "CUDA engine: start the GPU: text (NAME, 46)"},
		{"the stream", failVariable, "cuStreamCreate=999", "CUDA engine: make a stream: text (NAME, 999)"},
		{"the kernels", failVariable, "cuModuleLoadFatBinary=209", "CUDA engine: load the kernels: text (NAME, 209)"},
		{"full", failVariable, "cuMemHostAlloc=2", "CUDA engine: out of GPU memory: more was wanted, 3072 of 81920 MiB are free; a smaller batch or network needs less, and so do fewer programs on this GPU"},
	} {
		t.Run(c.name, func(t *testing.T) {
			calls(t)
			t.Setenv(c.variable, c.value)
			_, err := open()
			expectError(t, err, c.want)
			made := strings.Join(calls(t), "\n")
			if strings.Contains(made, "alive") && !strings.Contains(made, "alive 0") {
				t.Errorf("something was not freed:\n%s", made)
			}
		})
	}
	calls(t)
	d, err := open()
	noError(t, err)
	expectCalls(t, "cuDeviceGetCount", "cuDeviceGet 0", "cuDeviceGetName 7", "cuDeviceGetAttribute 75 7", "cuDeviceGetAttribute 76 7",
		"cuDevicePrimaryCtxRetain 7", "cuStreamCreate 1", "cuMemHostAlloc 16777216", "cuModuleLoadFatBinary")
	if got, want := d.Device(), "No GPU, compute capability 9.0"; got != want {
		t.Errorf("device %q, want %q", got, want)
	}
	noError(t, d.Close())
	expectCalls(t, "cuStreamSynchronize", "cuMemFreeHost", "cuStreamDestroy_v2", "cuModuleUnload", "cuDevicePrimaryCtxRelease_v2 7", "alive 0")
}

func testMemory(t *testing.T) {
	d := opened(t)
	a, b := allocated(t, d, 1000), allocated(t, d, 0)
	noError(t, d.Free(b))
	b = allocated(t, d, 1000)
	if a%256 != 0 || b%256 != 0 {
		t.Errorf("addresses %#x and %#x", a, b)
	}
	data := bytes.Repeat([]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, 100)
	noError(t, d.Write(a, data))
	noError(t, d.Clear(a+10, 20))
	noError(t, d.Copy(b, a, 1000))
	noError(t, d.Clear(a, 1000))
	want := slices.Clone(data)
	clear(want[10:30])
	clear(data) // it may be changed
	got := make([]byte, 1000)
	noError(t, d.Read(got, b))
	if !bytes.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	noError(t, d.Read(got, a))
	if !bytes.Equal(got, make([]byte, 1000)) {
		t.Errorf("%v after it was cleared", got)
	}
	for _, nothing := range []error{d.Write(a, nil), d.Read(nil, a), d.Copy(a, b, 0), d.Clear(a, 0)} {
		noError(t, nothing)
	}

	calls(t)
	noError(t, d.Copy(a, b, 1000))
	noError(t, d.Free(a)) // not before it is used
	noError(t, d.Free(b))
	expectCalls(t, "cuMemcpyDtoDAsync_v2 1000", "cuStreamSynchronize", "cuMemFree_v2", "cuStreamSynchronize", "cuMemFree_v2")
	if err := d.Free(b); err == nil || !strings.Contains(err.Error(), "no memory was taken") {
		t.Errorf("freed twice: %v", err)
	}

	allocated(t, d, 1) // freed by Close
}

// More than what is waiting at once.
func testStaging(t *testing.T) {
	d := opened(t)
	const n = stagingBytes*5/2 + 3
	a := allocated(t, d, n)
	want := make([]byte, n)
	for i := range want {
		want[i] = byte(uint32(i) * 2654435761 >> 24)
	}
	noError(t, d.Write(a, want[:1000]))
	noError(t, d.Write(a+1000, want[1000:]))
	got := make([]byte, n)
	noError(t, d.Read(got, a))
	if !bytes.Equal(got, want) {
		t.Error("what was written is not what is read")
	}
	calls(t)
	noError(t, d.Write(a, want[:stagingBytes]))
	expectCalls(t, "cuMemcpyHtoDAsync_v2 16777216") // all of it is free again
}

func testLaunch(t *testing.T) {
	d := opened(t)
	// Any thread may call.
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: a thread of its own
		done <- d.Launch("args3", Geometry{Grid: [3]int{1, 2, 3}, Threads: 64}, 0xabc, 1<<63, math.Float64bits(1))
	}()
	noError(t, <-done)
	noError(t, d.Launch("args0", Geometry{Grid: [3]int{7, 1, 1}, Threads: 1024}))
	noError(t, d.Launch("args3", Geometry{Grid: [3]int{1, 1, 1}, Threads: 1}, 1, 2, 3))
	expectCalls(t, "cuModuleGetFunction args3", "cuLaunchKernel args3", "cuModuleGetFunction args0", "cuLaunchKernel args0", "cuLaunchKernel args3")
	noError(t, d.Read(nil, 0))
	expectCalls(t, "cuStreamSynchronize",
		"run args3 1,2,3 of 64,1,1: abc 8000000000000000 3ff0000000000000",
		"run args0 7,1,1 of 1024,1,1:",
		"run args3 1,1,1 of 1,1,1: 1 2 3")
}

func testGraph(t *testing.T) {
	d := opened(t)
	a := allocated(t, d, 300)
	noError(t, d.Write(a, bytes.Repeat([]byte{1}, 300)))
	noError(t, d.Read(nil, 0))
	calls(t)
	g, err := d.Capture(func() error {
		return errors.Join(
			d.Clear(a, 100),
			d.Launch("args1", Geometry{Grid: [3]int{1, 1, 1}, Threads: 32}, 42),
			d.Copy(a+200, a, 100))
	})
	noError(t, err)
	expectCalls(t, "cuStreamBeginCapture_v2 1", "cuMemsetD8Async 0 100", "cuModuleGetFunction args1", "cuLaunchKernel args1",
		"cuMemcpyDtoDAsync_v2 100", "cuStreamEndCapture", "cuGraphInstantiateWithFlags", "cuGraphDestroy")
	got := make([]byte, 300)
	noError(t, d.Read(got, a))
	if !bytes.Equal(got, bytes.Repeat([]byte{1}, 300)) {
		t.Error("recording did something")
	}
	calls(t)
	noError(t, g.Replay())
	noError(t, g.Replay())
	noError(t, d.Read(got, a))
	expectCalls(t, "cuGraphLaunch", "cuGraphLaunch", "cuStreamSynchronize", "run args1 1,1,1 of 32,1,1: 2a", "run args1 1,1,1 of 32,1,1: 2a", "cuMemcpyDtoH_v2 300")
	if want := slices.Concat(make([]byte, 100), bytes.Repeat([]byte{1}, 100), make([]byte, 100)); !bytes.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	noError(t, g.Release())
}

// What cannot be part of a graph is refused, and does not spoil it; a recording that
// fails leaves a driver that works.
func testRecording(t *testing.T) {
	d := opened(t)
	a := allocated(t, d, 8)
	other, err := d.Capture(func() error { return nil })
	noError(t, err)
	var free Address
	g, err := d.Capture(func() error {
		for name, call := range map[string]func() error{
			"Alloc":   func() (err error) { free, err = d.Alloc(1); return err },
			"Free":    func() error { return d.Free(a) },
			"Write":   func() error { return d.Write(a, []byte{1}) },
			"Read":    func() error { return d.Read(make([]byte, 1), a) },
			"Replay":  other.Replay,
			"Capture": func() error { _, err := d.Capture(func() error { return nil }); return err },
		} {
			expectError(t, call(), "CUDA engine: "+name+" while a graph is recorded")
		}
		return d.Clear(a, 8)
	})
	noError(t, err)
	if free != 0 {
		t.Errorf("memory at %#x", free)
	}
	noError(t, g.Replay())
	noError(t, errors.Join(g.Release(), other.Release()))

	// The end of a recording is on its thread, though another goroutine is after it.
	for range 5 {
		taken, release := make(chan bool), make(chan bool)
		g, err := d.Capture(func() error {
			go func() {
				runtime.LockOSThread()
				defer runtime.UnlockOSThread()
				close(taken)
				<-release
			}()
			<-taken
			return nil
		})
		close(release)
		noError(t, err)
		noError(t, g.Release())
	}

	problem := errors.New("a problem")
	if g, err := d.Capture(func() error { return problem }); err != problem || g != nil {
		t.Errorf("graph %v, error %v", g, err)
	}
	t.Run("instantiation", func(t *testing.T) {
		t.Setenv(failVariable, "cuGraphInstantiateWithFlags=901")
		_, err := d.Capture(func() error { return nil })
		expectError(t, err, "CUDA engine: make a graph of what was recorded: text (NAME, 901)")
	})
	noError(t, d.Write(a, []byte{1}))
}

func testOutOfMemory(t *testing.T) {
	d := opened(t)
	t.Run("alloc", func(t *testing.T) {
		t.Setenv(failVariable, "cuMemAlloc_v2=2")
		_, err := d.Alloc(5 << 30)
		expectError(t, err, "CUDA engine: out of GPU memory: 5120 MiB were wanted, 3072 of 81920 MiB are free; a smaller batch or network needs less, and so do fewer programs on this GPU")
		var full *OutOfMemoryError
		if !errors.As(err, &full) || *full != (OutOfMemoryError{Wanted: 5 << 30, Free: 3 << 30, Total: 80 << 30}) {
			t.Errorf("error %#v", err)
		}
	})
	allocated(t, d, 1) // goes on
}

func testErrors(t *testing.T) {
	d := opened(t)
	a := allocated(t, d, 8)
	empty, err := d.Capture(func() error { return nil })
	noError(t, err)
	g := Geometry{Grid: [3]int{1, 2, 3}, Threads: 2000}
	for _, c := range []struct {
		fail string
		call func() error
		want string
	}{
		{"cuMemAlloc_v2", func() error { _, err := d.Alloc(100); return err }, "take 100 bytes of its memory"},
		{"cuMemFree_v2", func() error { return d.Free(a) }, "free memory"},
		{"cuMemcpyHtoDAsync_v2", func() error { return d.Write(a, []byte{1}) }, "write to the GPU"},
		{"cuMemcpyDtoH_v2", func() error { return d.Read(make([]byte, 1), a) }, "read from the GPU"},
		{"cuMemcpyDtoDAsync_v2", func() error { return d.Copy(a, a, 8) }, "copy 8 bytes on the GPU"},
		{"cuMemsetD8Async", func() error { return d.Clear(a, 8) }, "clear 8 bytes on the GPU"},
		{"cuLaunchKernel", func() error { return d.Launch("args0", g) }, "launch args0 on [1 2 3] blocks of 2000 threads"},
		{"cuStreamBeginCapture_v2", func() error { _, err := d.Capture(nil); return err }, "begin to record a graph"},
		{"cuGraphLaunch", empty.Replay, "run a graph"},
		{"cuGraphExecDestroy", empty.Release, "free a graph"},
		{"cuCtxSetCurrent", func() error { return d.Clear(a, 8) }, "clear 8 bytes on the GPU"},
	} {
		t.Run(c.fail, func(t *testing.T) {
			t.Setenv(failVariable, c.fail+"=1")
			expectError(t, c.call(), "CUDA engine: "+c.want+": text (NAME, 1)")
		})
	}
	expectError(t, d.Launch("none", g), "CUDA engine: launch none on [1 2 3] blocks of 2000 threads: text (NAME, 500)")
	noError(t, empty.Release())
	noError(t, d.Free(a))
}

// After a fatal error every call returns it and the library is left alone.
func testLost(t *testing.T) {
	d, err := open()
	noError(t, err)
	a := allocated(t, d, 8)
	g, err := d.Capture(func() error { return nil })
	noError(t, err)
	t.Setenv(failVariable, "cuStreamSynchronize=700")
	first := d.Read(make([]byte, 1), a)
	expectError(t, first, "CUDA engine: the GPU failed, as was told to read from the GPU: text (NAME, 700); continue the run from its checkpoint, and if it fails again see the system's log (Xid)")
	if lost := (*LostError)(nil); !errors.As(first, &lost) || lost.Err != libcuda.Result(700) {
		t.Errorf("error %#v", first)
	}
	t.Setenv(failVariable, "")
	calls(t)
	_, allocated := d.Alloc(1)
	_, captured := d.Capture(func() error { return nil })
	for i, err := range []error{allocated, captured, d.Free(a), d.Write(a, []byte{1}), d.Read(make([]byte, 1), a), d.Read(nil, a), d.Copy(a, a, 1),
		d.Copy(a, a, 0), d.Clear(a, 1), d.Clear(a, 0), d.Launch("args0", Geometry{}), g.Replay(), g.Release()} {
		if err != first {
			t.Errorf("call %d: error %v", i, err)
		}
	}
	if err := d.Close(); err != first {
		t.Errorf("Close: error %v", err)
	}
	expectCalls(t, "cuDevicePrimaryCtxRelease_v2 7", "alive 5")
}

func testClose(t *testing.T) {
	d, err := open()
	noError(t, err)
	noError(t, d.Close())
	calls(t)
	noError(t, d.Close())
	_, err = d.Alloc(1)
	expectError(t, err, "CUDA engine: the GPU was given back")
	expectCalls(t)
}
