// Package needcgo is imported by the packages that are partly in C. If the go command does
// not compile C, this package fails to build and says why.
package needcgo
