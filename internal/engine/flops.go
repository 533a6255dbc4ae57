package engine

import "github.com/nb1shot/nb1shot/internal/graph"

// FLOPs is the arithmetic of the plan's convolutions and of their derivatives,
// each done directly: a multiplication and an addition for every weight at every
// position, the zeros of the padding included. Everything else that a plan does
// is small beside it. Divided by the rate of fused multiply-adds it is the least
// time that a run can take.
func (p *Plan) FLOPs() float64 { return p.flops(p.Steps) }

// VaryingFLOPs is the part of FLOPs that a Rerun repeats.
func (p *Plan) VaryingFLOPs() float64 { return p.flops(p.Steps[p.Split:]) }

// GuardedFLOPs are the parts of FLOPs and VaryingFLOPs that belong to guarded steps, by
// the entry that guards them.
func (p *Plan) GuardedFLOPs() (all, varying map[int]float64) {
	all, varying = map[int]float64{}, map[int]float64{}
	for i, s := range p.Steps {
		if s.Guard == Unguarded {
			continue
		}
		n := p.flops(p.Steps[i : i+1])
		all[s.Guard] += n
		if i >= p.Split {
			varying[s.Guard] += n
		}
	}
	return all, varying
}

func (p *Plan) flops(steps []Step) float64 {
	total := 0.0
	for _, s := range steps {
		var kernel, image int // values
		switch s.Kind {
		case graph.Conv:
			kernel, image = s.Operands[1], s.Result
		case graph.Depthwise:
			kernel, image = s.Operands[1], s.Result
		case graph.DepthwiseData:
			kernel, image = s.Operands[0], s.Operands[1]
		case graph.DepthwiseWeight:
			kernel, image = s.Result, s.Operands[1]
		case graph.ConvData:
			kernel, image = s.Operands[0], s.Result
		case graph.ConvWeight:
			kernel, image = s.Result, s.Operands[0]
		default:
			continue
		}
		shape := p.Values[image].Shape
		positions := shape[0] * shape[2] * shape[3]
		total += 2 * float64(p.Values[kernel].Size()) * float64(positions)
	}
	return total
}
