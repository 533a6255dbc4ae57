//go:build !cgo

package needcgo

// The compiler prints this line.
var _ int = "nb1shot is partly in C: install gcc (Debian: apt install gcc libc6-dev), and build with CGO_ENABLED=1"
