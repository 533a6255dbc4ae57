// Package random derives the independent random streams of a run.
//
// Every draw of a run comes from a PCG stream named by its purpose, so that
// adding a consumer never shifts the numbers of another, and a resumed run can
// re-create the stream of any epoch without replaying the earlier ones. Two runs of the
// released code from one seed differ (quirk Q28); those from these streams do not.
package random

import (
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
)

// New returns the stream of the given purpose. Equal arguments give equal
// streams; any difference in seed, purpose or index (an epoch, a step) gives an
// unrelated one, because the PCG state is taken from the SHA-256 of them all.
func New(seed uint64, purpose string, index ...uint64) *rand.Rand {
	buf := binary.LittleEndian.AppendUint64(nil, seed)
	buf = binary.LittleEndian.AppendUint64(buf, uint64(len(purpose)))
	buf = append(buf, purpose...)
	for _, i := range index {
		buf = binary.LittleEndian.AppendUint64(buf, i)
	}
	sum := sha256.Sum256(buf)
	return rand.New(rand.NewPCG(binary.LittleEndian.Uint64(sum[:8]), binary.LittleEndian.Uint64(sum[8:16])))
}
