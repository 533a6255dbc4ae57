package algorithms

import (
	"errors"

	"github.com/nb1shot/nb1shot/spaces"
	"github.com/nb1shot/nb1shot/spaces/darts"
)

// isDARTS tells whether a space is of the family of DARTS, spaces/darts.
func isDARTS(space *spaces.Space) bool {
	_, ok := darts.Of(space)
	return ok
}

// notOnDARTS is the Supports of an algorithm that cannot search the spaces of DARTS, for
// a reason.
func notOnDARTS(reason string) func(*spaces.Space) error {
	return func(space *spaces.Space) error {
		if isDARTS(space) {
			return errors.New(reason)
		}
		return nil
	}
}

// adaptToDARTS gives options other defaults on the spaces of DARTS, and further options.
func adaptToDARTS(defaults Settings, further ...Option) func(*spaces.Space, []Option) []Option {
	return func(space *spaces.Space, options []Option) []Option {
		if !isDARTS(space) {
			return options
		}
		return append(WithDefaults(options, defaults), further...)
	}
}

// unrolledOptions are those of second-order architecture steps where the algorithm is
// first order by default.
func unrolledOptions() []Option {
	return append(unrollOptions(), Option{Name: "unrolled", Kind: Switch, Doc: "second-order architecture steps, as in darts-2nd (quirk C19)"})
}
