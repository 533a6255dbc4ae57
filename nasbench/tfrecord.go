package nasbench

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// maxRecord bounds the length of a TFRecord, in bytes. NAS-Bench-101's are
// below 1 KiB; without a bound a forged length would exhaust the memory.
const maxRecord = 1 << 20

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// maskedCRC is the checksum of the TFRecord format: CRC-32C, rotated and
// offset so that a checksum of data holding checksums stays meaningful.
func maskedCRC(data []byte) uint32 {
	c := crc32.Checksum(data, castagnoli)
	return (c>>15 | c<<17) + 0xa282ead8
}

// readTFRecords calls visit with the data of each record and the offset at
// which the record begins. The data is only valid during the call. A record
// is: length (uint64, little endian), masked CRC of these 8 bytes (uint32),
// data, masked CRC of the data. The content ends well only between records.
func readTFRecords(r io.Reader, path string, visit func(offset int64, data []byte) error) error {
	var header [12]byte
	var buf []byte
	for offset := int64(0); ; {
		corrupt := func(format string, args ...any) error {
			return &CorruptError{path, offset, fmt.Sprintf(format, args...)}
		}
		switch _, err := io.ReadFull(r, header[:]); {
		case err == io.EOF:
			return nil
		case errors.Is(err, io.ErrUnexpectedEOF):
			return corrupt("truncated in the header of a record")
		case err != nil:
			return fmt.Errorf("read %s at byte %d: %w", path, offset, err)
		}
		if maskedCRC(header[:8]) != binary.LittleEndian.Uint32(header[8:]) {
			return corrupt("checksum of the record's length does not match")
		}
		length := binary.LittleEndian.Uint64(header[:8])
		if length > maxRecord {
			return corrupt("record of %d bytes, want at most %d", length, maxRecord)
		}
		if need := int(length) + 4; cap(buf) < need {
			buf = make([]byte, need)
		}
		buf = buf[:length+4]
		switch _, err := io.ReadFull(r, buf); {
		case err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF):
			return corrupt("truncated in a record of %d bytes", length)
		case err != nil:
			return fmt.Errorf("read %s at byte %d: %w", path, offset, err)
		}
		data := buf[:length]
		if maskedCRC(data) != binary.LittleEndian.Uint32(buf[length:]) {
			return corrupt("checksum of the record's %d bytes of data does not match", length)
		}
		if err := visit(offset, data); err != nil {
			return err
		}
		offset += int64(len(header)) + int64(len(buf))
	}
}
