package results

import ( // so that records of their spaces are known
	_ "github.com/nb1shot/nb1shot/spaces/darts"
	_ "github.com/nb1shot/nb1shot/spaces/nb1shot1"
)
