package peak

import _ "github.com/nb1shot/nb1shot/internal/needcgo" // says what is missing where C is not compiled
