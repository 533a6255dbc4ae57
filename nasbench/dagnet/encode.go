package dagnet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

const (
	mostHidden = 1024
	steps16    = math.MaxInt16 // of a weight of one sign
)

// AppendBinary appends the network: its hidden units, as a little-endian uint16,
// then of every matrix the largest weight, as a float32, and all weights, row by
// row, as int16 in units of 1/32767 of that. Every bit of a network that Train
// returns survives.
func (n *Network) AppendBinary(to []byte) ([]byte, error) {
	to = binary.LittleEndian.AppendUint16(to, uint16(n.hidden))
	for _, m := range n.weights.of {
		unit := unitOf(m.data)
		to = binary.LittleEndian.AppendUint32(to, math.Float32bits(unit))
		for _, w := range m.data {
			to = binary.LittleEndian.AppendUint16(to, uint16(quantum(w, unit)))
		}
	}
	return to, nil
}

// UnmarshalBinary reads what AppendBinary wrote, and nothing else behind it.
func (n *Network) UnmarshalBinary(data []byte) error {
	if len(data) < 2 {
		return errors.New("network: it is too short to have a header")
	}
	s := shape{int(binary.LittleEndian.Uint16(data))}
	if s.hidden < 1 || s.hidden > mostHidden {
		return fmt.Errorf("network: %d hidden units, want 1 to %d", s.hidden, mostHidden)
	}
	data = data[2:]
	want := 0
	for _, size := range s.sizes() {
		want += 4 + 2*size[0]*size[1]
	}
	if len(data) != want {
		return fmt.Errorf("network: %d bytes of weights, want %d for %d hidden units", len(data), want, s.hidden)
	}
	w := s.weights()
	for i, m := range w.of {
		unit := math.Float32frombits(binary.LittleEndian.Uint32(data))
		if !(unit >= 0 && unit <= math.MaxFloat32) {
			return fmt.Errorf("network: the largest weight of matrix %d is %v", i, unit)
		}
		data = data[4:]
		for k := range m.data {
			m.data[k] = weight(int16(binary.LittleEndian.Uint16(data)), unit)
			data = data[2:]
		}
	}
	*n = Network{s, w}
	return nil
}

// quantise rounds all weights to what AppendBinary can write.
func (n *Network) quantise() {
	for _, m := range n.weights.of {
		unit := unitOf(m.data)
		for k, w := range m.data {
			m.data[k] = weight(quantum(w, unit), unit)
		}
	}
}

// unitOf is the largest magnitude.
func unitOf(data []float32) float32 {
	var unit float32
	for _, w := range data {
		unit = max(unit, w, -w)
	}
	return unit
}

func quantum(w, unit float32) int16 {
	if unit == 0 {
		return 0
	}
	return int16(math.RoundToEven(float64(w) / float64(unit) * steps16))
}

// weight is exact at both ends, so that the largest weight stays what it is.
func weight(q int16, unit float32) float32 { return float32(float64(unit) * float64(q) / steps16) }
