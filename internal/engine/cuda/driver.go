// Package cuda computes plans on NVIDIA GPUs.
package cuda

import "github.com/nb1shot/nb1shot/internal/engine/phases"

// Address is a place in the device's memory; 0 is none.
type Address = phases.Address

// Kernel is the name of a kernel in kernels/kernels.cu.
type Kernel string

// Geometry is how many blocks of how many threads a kernel is launched with.
type Geometry struct {
	Grid    [3]int // blocks; each at least 1
	Threads int    // of a block
}

// Driver is what the engine asks of a device. Everything happens in the order of
// the calls, on one stream; Launch, Write, Copy and Clear return before it has happened,
// so that what goes wrong on the device may be reported by a later call. A Driver is
// used by one goroutine at a time, which may change.
type Driver interface {
	// Device describes the hardware, for provenance.
	Device() string
	// Alloc takes memory, whose content is anything, aligned to 256 bytes. An
	// error says how much was wanted and how much is free.
	Alloc(bytes int) (Address, error)
	// Free gives memory back once everything before it has happened.
	Free(Address) error
	// Write copies to the device. The slice may be changed when it returns.
	Write(to Address, from []byte) error
	// Read copies from the device and waits for it.
	Read(to []byte, from Address) error
	// Copy copies on the device.
	Copy(to, from Address, bytes int) error
	// Clear sets bytes to 0.
	Clear(to Address, bytes int) error
	// Launch starts a kernel. Each argument fills 8 bytes: an address, an int64 or
	// the bits of a float64.
	Launch(k Kernel, g Geometry, args ...uint64) error
	// Capture calls record and keeps what it launches, copies on the device and
	// clears, instead of doing it.
	Capture(record func() error) (Graph, error)
	// Close gives everything back.
	Close() error
}

// Graph is a recorded sequence of launches.
type Graph interface {
	// Replay starts all of them.
	Replay() error
	// Release forgets them.
	Release() error
}
