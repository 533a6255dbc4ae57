// Package needcgo is imported by the packages that are partly in C. Where the go
// command does not compile C, it is the one that fails, and says why.
package needcgo
