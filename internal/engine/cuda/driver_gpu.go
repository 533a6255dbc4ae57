//go:build gpu

package cuda

import (
	_ "embed"
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	// Before cu, so that its flags are before cu's on the linker's command line.
	"github.com/nb1shot/nb1shot/internal/engine/cuda/internal/libcuda"

	"gorgonia.org/cu"
)

//go:embed kernels/kernels.fatbin
var fatBinary string

// oldestGPU is the compute capability, times 10, of the oldest GPUs for which there are kernels.
const oldestGPU = 80

// stagingBytes is a few batches of the paper's images.
const stagingBytes = 16 << 20

// gpuDevice is the Driver of the first GPU: its primary context, made current on
// whatever thread a call is on, and one stream.
type gpuDevice struct {
	name      string
	context   cu.CUContext
	release   func() error // the context
	stream    cu.Stream
	module    cu.Module
	functions map[Kernel]cu.Function
	allocated map[Address]bool

	// What is written goes through page-locked memory, from which the device fetches
	// it in the stream's order; staged bytes of it may not have been fetched yet.
	staging []byte
	staged  int

	recording bool
	broken    error // what every call returns
}

var (
	errNoGPU  = errors.New("the NVIDIA driver finds no GPU; if there is one, see nvidia-smi and CUDA_VISIBLE_DEVICES")
	errClosed = errors.New("CUDA engine: the GPU was given back")
)

// open takes the first GPU that the driver shows.
func open() (Driver, error) {
	err := libcuda.Load(libcuda.Library)
	if errors.Is(err, libcuda.NoDevice) {
		err = errNoGPU
	}
	if err != nil {
		return nil, fmt.Errorf("CUDA engine: %w", err)
	}
	d := &gpuDevice{functions: map[Kernel]cu.Function{}, allocated: map[Address]bool{}}
	if err := d.start(); err != nil {
		d.Close()
		// Nothing was lost that a checkpoint could help with.
		if lost := (*LostError)(nil); errors.As(err, &lost) {
			err = fmt.Errorf("CUDA engine: %s: %w", lost.Call, lost.Err)
		}
		return nil, err
	}
	return d, nil
}

// start finds the GPU and gets ready what the calls use.
func (d *gpuDevice) start() error {
	n, err := cu.NumDevices()
	if err == nil && n == 0 || libcuda.Translate(err) == libcuda.NoDevice {
		return fmt.Errorf("CUDA engine: %w", errNoGPU)
	}
	var id cu.Device
	var major, minor int
	if err == nil {
		id, err = cu.GetDevice(0)
	}
	if err == nil {
		d.name, err = id.Name()
	}
	if err == nil {
		major, err = id.Attribute(cu.ComputeCapabilityMajor)
	}
	if err == nil {
		minor, err = id.Attribute(cu.ComputeCapabilityMinor)
	}
	if err != nil {
		return d.explain(err, "find the GPU")
	}
	if c := 10*major + minor; c < oldestGPU {
		return fmt.Errorf("CUDA engine: %s has compute capability %d.%d; the kernels need %d.%d or later (A100, H100)", d.name, major, minor, oldestGPU/10, oldestGPU%10)
	}
	d.name = fmt.Sprintf("%s, compute capability %d.%d", d.name, major, minor)

	if d.context, err = id.RetainPrimaryCtx(); err != nil {
		return d.explain(err, "start the GPU")
	}
	d.release = id.ReleasePrimaryCtx
	err = d.do(func() (err error) { d.stream, err = cu.MakeStream(cu.NonBlocking); return err })
	if err != nil {
		return d.explain(err, "make a stream")
	}
	err = d.do(func() (err error) { d.staging, err = libcuda.HostAlloc(stagingBytes); return err })
	if err != nil {
		return d.explain(err, "take %d MiB of page-locked memory", stagingBytes>>20)
	}
	err = d.do(func() (err error) { d.module, err = cu.LoadFatBinary(fatBinary); return err })
	return d.explain(err, "load the kernels")
}

// do calls the driver on a thread on which the context is current.
func (d *gpuDevice) do(call func() error) error {
	if d.broken != nil {
		return d.broken
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cu.SetCurrentContext(d.context); err != nil {
		return err
	}
	return call()
}

// explain makes of an error of the driver one that says during what, and sees to it
// that a lost device stays lost. Other errors it leaves.
func (d *gpuDevice) explain(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	r, ok := libcuda.Translate(err).(libcuda.Result)
	if !ok {
		return err
	}
	what := fmt.Sprintf(format, args...)
	switch {
	case r == libcuda.OutOfMemory:
		e := &OutOfMemoryError{}
		d.do(func() error { // the numbers are an extra: without them they are 0
			free, total, err := cu.MemInfo()
			e.Free, e.Total = int(free), int(total)
			return err
		})
		return e
	case r.Fatal():
		d.broken = &LostError{Call: what, Err: r}
		return d.broken
	}
	return fmt.Errorf("CUDA engine: %s: %w", what, r)
}

// idle refuses what cannot be part of a graph.
func (d *gpuDevice) idle(call string) error {
	if d.recording {
		return fmt.Errorf("CUDA engine: %s while a graph is recorded", call)
	}
	return nil
}

// wait returns when everything before it has happened.
func (d *gpuDevice) wait() error {
	err := d.stream.Synchronize()
	if err == nil {
		d.staged = 0
	}
	return err
}

func (d *gpuDevice) Device() string { return d.name }

func (d *gpuDevice) Alloc(bytes int) (Address, error) {
	if err := d.idle("Alloc"); err != nil {
		return 0, err
	}
	var p cu.DevicePtr
	err := d.do(func() (err error) { p, err = cu.MemAlloc(int64(max(bytes, 1))); return err })
	if err != nil {
		err = d.explain(err, "take %d bytes of its memory", bytes)
		if full := (*OutOfMemoryError)(nil); errors.As(err, &full) {
			full.Wanted = bytes
		}
		return 0, err
	}
	d.allocated[Address(p)] = true
	return Address(p), nil
}

func (d *gpuDevice) Free(a Address) error {
	if err := d.idle("Free"); err != nil {
		return err
	}
	if d.broken == nil && !d.allocated[a] {
		return fmt.Errorf("CUDA engine: Free of %#x, where no memory was taken", a)
	}
	err := d.do(func() error {
		if err := d.wait(); err != nil {
			return err
		}
		return cu.MemFree(cu.DevicePtr(a))
	})
	if err != nil {
		return d.explain(err, "free memory")
	}
	delete(d.allocated, a)
	return nil
}

func (d *gpuDevice) Write(to Address, from []byte) error {
	if err := d.idle("Write"); err != nil {
		return err
	}
	err := d.do(func() error {
		for len(from) > 0 {
			if d.staged == len(d.staging) {
				if err := d.wait(); err != nil {
					return err
				}
			}
			free := d.staging[d.staged:]
			n := copy(free, from)
			if err := cu.MemcpyHtoDAsync(cu.DevicePtr(to), unsafe.Pointer(&free[0]), int64(n), d.stream); err != nil {
				return err
			}
			d.staged += n
			from = from[n:]
			to += Address(n)
		}
		return nil
	})
	return d.explain(err, "write to the GPU")
}

func (d *gpuDevice) Read(to []byte, from Address) error {
	if err := d.idle("Read"); err != nil {
		return err
	}
	err := d.do(func() error {
		if err := d.wait(); err != nil || len(to) == 0 {
			return err
		}
		return cu.MemcpyDtoH(unsafe.Pointer(&to[0]), cu.DevicePtr(from), int64(len(to)))
	})
	return d.explain(err, "read from the GPU")
}

func (d *gpuDevice) Copy(to, from Address, bytes int) error {
	if bytes == 0 {
		return d.broken
	}
	err := d.do(func() error {
		return cu.MemcpyDtoDAsync(cu.DevicePtr(to), cu.DevicePtr(from), int64(bytes), d.stream)
	})
	return d.explain(err, "copy %d bytes on the GPU", bytes)
}

func (d *gpuDevice) Clear(to Address, bytes int) error {
	if bytes == 0 {
		return d.broken
	}
	err := d.do(func() error { return cu.MemsetD8Async(cu.DevicePtr(to), 0, int64(bytes), d.stream) })
	return d.explain(err, "clear %d bytes on the GPU", bytes)
}

func (d *gpuDevice) Launch(k Kernel, g Geometry, args ...uint64) error {
	err := d.do(func() (err error) {
		f, ok := d.functions[k]
		if !ok {
			if f, err = d.module.Function(string(k)); err != nil {
				return err
			}
			d.functions[k] = f
		}
		pointers := make([]unsafe.Pointer, len(args)) // cu copies the 8 bytes that each points to
		for i := range args {
			pointers[i] = unsafe.Pointer(&args[i])
		}
		return f.Launch(g.Grid[0], g.Grid[1], g.Grid[2], g.Threads, 1, 1, 0, d.stream, pointers)
	})
	return d.explain(err, "launch %s on %v blocks of %d threads", k, g.Grid, g.Threads)
}

func (d *gpuDevice) cstream() libcuda.Stream { return libcuda.Stream(unsafe.Pointer(d.stream.C())) }

func (d *gpuDevice) Capture(record func() error) (Graph, error) {
	if err := d.idle("Capture"); err != nil {
		return nil, err
	}
	runtime.LockOSThread() // a capture ends on the thread where it began
	defer runtime.UnlockOSThread()
	if err := d.do(func() error { return libcuda.BeginCapture(d.cstream()) }); err != nil {
		return nil, d.explain(err, "begin to record a graph")
	}
	d.recording = true
	problem := record()
	d.recording = false
	var g libcuda.Graph
	err := d.do(func() (err error) { g, err = libcuda.EndCapture(d.cstream()); return err })
	err = d.explain(err, "make a graph of what was recorded")
	if problem == nil && err == nil {
		return &gpuGraph{d, g}, nil
	}
	if err == nil {
		err = d.explain(d.do(g.Destroy), "free a graph")
	}
	if problem != nil {
		err = problem // which explains the other one
	}
	return nil, err
}

func (d *gpuDevice) Close() error {
	if d.broken == errClosed {
		return nil
	}
	err := d.do(func() error {
		if d.stream != cu.NoStream {
			if err := d.wait(); err != nil {
				return err
			}
		}
		for a := range d.allocated {
			if err := cu.MemFree(cu.DevicePtr(a)); err != nil {
				return err
			}
		}
		if d.staging != nil {
			if err := cu.MemFreeHost(unsafe.Pointer(&d.staging[0])); err != nil {
				return err
			}
		}
		if d.stream != cu.NoStream {
			if err := d.stream.Destroy(); err != nil {
				return err
			}
		}
		if d.module != (cu.Module{}) {
			return d.module.Unload()
		}
		return nil
	})
	err = d.explain(err, "give the GPU back")
	if d.release != nil { // also of a lost device
		if e := d.release(); err == nil {
			err = d.explain(e, "give the GPU back")
		}
	}
	d.broken = errClosed
	return err
}

type gpuGraph struct {
	d    *gpuDevice
	exec libcuda.Graph
}

func (g *gpuGraph) Replay() error {
	if err := g.d.idle("Replay"); err != nil {
		return err
	}
	err := g.d.do(func() error { return g.exec.Launch(g.d.cstream()) })
	return g.d.explain(err, "run a graph")
}

func (g *gpuGraph) Release() error { return g.d.explain(g.d.do(g.exec.Destroy), "free a graph") }
