package cuda

import "fmt"

// OutOfMemoryError is what a Driver returns when the device has too little memory.
type OutOfMemoryError struct {
	Wanted      int // bytes; 0 where the driver does not say
	Free, Total int // bytes of the device, at the failure
}

func (e *OutOfMemoryError) Error() string {
	wanted := "more was"
	if e.Wanted > 0 {
		wanted = fmt.Sprintf("%d MiB were", (e.Wanted+1<<20-1)>>20)
	}
	return fmt.Sprintf("CUDA engine: out of GPU memory: %s wanted, %d of %d MiB are free; a smaller batch or network needs less, and so do fewer programs on this GPU",
		wanted, e.Free>>20, e.Total>>20)
}

// LostError is what every call of a Driver returns after the device has failed in a
// way that only a new process gets over, such as a kernel that wrote where it may not.
type LostError struct {
	Call string // that told, which need not be the one that failed
	Err  error  // the driver's
}

func (e *LostError) Error() string {
	return fmt.Sprintf("CUDA engine: the GPU failed, as was told to %s: %v; continue the run from its checkpoint, and if it fails again see the system's log (Xid)", e.Call, e.Err)
}

func (e *LostError) Unwrap() error { return e.Err }
