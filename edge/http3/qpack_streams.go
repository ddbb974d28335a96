package http3

// The instructions of QPACK's streams (RFC 9204, 4.3 and 4.4) that mean
// something without a dynamic table.
const (
	setCapacity     = 0x20 // 001, 5 bits
	capacityBits    = 5
	cancelStream    = 0x40 // 01, 6 bits
	cancelBits      = 6
	instructionKind = 0xe0
	cancelKind      = 0xc0
)

// readEncoder reads the client's encoder stream. We allow it no dynamic
// table, so it can only say that it has none.
func (c *Conn) readEncoder(in *input) error {
	for {
		capacity, err := c.instruction(in, instructionKind, setCapacity, capacityBits)
		if err == errInstruction || err == nil && capacity != 0 {
			return fatal(codeEncoderStreamError, "an instruction for a dynamic table that does not exist")
		}
		if err != nil {
			return err
		}
	}
}

// readDecoder reads the client's decoder stream. We never refer to its
// dynamic table, so there is nothing to acknowledge; only that it has
// given up a stream it may say.
func (c *Conn) readDecoder(in *input) error {
	for {
		_, err := c.instruction(in, cancelKind, cancelStream, cancelBits)
		if err == errInstruction {
			return fatal(codeDecoderStreamError, "acknowledges what was never sent")
		}
		if err != nil {
			return err
		}
	}
}

// instruction reads an instruction of the given kind and its integer, at the
// price of a control frame.
func (c *Conn) instruction(in *input, mask, kind byte, bits uint) (uint64, error) {
	if err := c.charge(); err != nil {
		return 0, err
	}
	for {
		if b := in.ahead(); len(b) > 0 {
			if b[0]&mask != kind {
				return 0, errInstruction
			}
			v, rest, err := readInt(b, bits)
			if err == nil {
				in.r += len(b) - len(rest)
				return v, nil
			}
			if err == errTooLong {
				return 0, errInstruction
			}
		}
		if err := in.fill(); err != nil {
			return 0, err
		}
	}
}
