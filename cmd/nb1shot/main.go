// Command nb1shot is the NAS-Bench-1Shot1 stability benchmark: it runs one-shot
// architecture searches, looks up the cell of every epoch in a NAS-Bench-101
// table, follows the architecture Hessian, and draws the figures.
package main

import "github.com/nb1shot/nb1shot/command"

func main() {
	command.Main()
}
