package results

import (
	_ "github.com/nb1shot/nb1shot/spaces/darts"    // so that records of its spaces are known
	_ "github.com/nb1shot/nb1shot/spaces/nb1shot1" // likewise
)
