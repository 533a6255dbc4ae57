package plots

import _ "github.com/nb1shot/nb1shot/algorithms" // fills the catalogue
