package ref

import "github.com/nb1shot/nb1shot/internal/engine"

type vector[T Float] struct{ data []T }

func (v *vector[T]) Len() int { return len(v.data) }

func (v *vector[T]) Slice(from, to int) engine.Vector { return &vector[T]{v.data[from:to:to]} }

func (v *vector[T]) Read(dst []float64) {
	for i, x := range v.data[:len(dst)] {
		dst[i] = float64(x)
	}
}

func (v *vector[T]) Write(src []float64) {
	for i, x := range src {
		v.data[i] = T(x)
	}
}

func (v *vector[T]) Scale(a float64) {
	for i := range v.data {
		v.data[i] *= T(a)
	}
}

func (v *vector[T]) Axpy(a float64, x engine.Vector) {
	for i, y := range x.(*vector[T]).data {
		v.data[i] += T(a) * y
	}
}

func (v *vector[T]) Blend(keep, gain, scale, x engine.Vector) {
	k, g, s, u := keep.(*vector[T]).data, gain.(*vector[T]).data, scale.(*vector[T]).data, x.(*vector[T]).data
	for i, y := range v.data {
		if g[i] != 0 {
			scaled := s[i] * u[i]
			kept := k[i] * y
			v.data[i] = kept + g[i]*scaled
		}
	}
}

func (v *vector[T]) Dot(x engine.Vector) float64 { return dot(v.data, x.(*vector[T]).data) }
