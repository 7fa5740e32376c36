"""The many ways to write an IPv4 address that some reader somewhere understands."""

from ipaddress import IPv4Address, IPv4Network

from hypothesis import strategies as st

_DOTS = ".\u3002\uff0e\uff61"
_DIGITS = ["".join(chr(zero + digit) for digit in range(10)) for zero in (0x30, 0xFF10, 0x1D7CE, 0x1D7D8)]
_PRIVATE = ["0.0.0.0/8", "10.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"]


def private() -> st.SearchStrategy[int]:
    """A private address, as a number."""

    def numbers(network: IPv4Network) -> st.SearchStrategy[int]:
        return st.integers(int(network.network_address), int(network.broadcast_address))

    return st.sampled_from([IPv4Network(text) for text in _PRIVATE]).flatmap(numbers)


@st.composite
def spellings(draw: st.DrawFn, numbers: st.SearchStrategy[int]) -> tuple[str, str]:
    """An address plainly written, and in a way that may be another."""
    number = draw(numbers)
    parts = draw(st.integers(1, 4))
    values = [number >> 8 * (3 - place) & 0xFF for place in range(parts - 1)]
    values.append(number & (1 << 8 * (5 - parts)) - 1)
    text = ""
    for value in values:
        dot = draw(st.sampled_from(_DOTS)) if text else ""
        text += dot + draw(st.sampled_from([f"{value:d}", f"0{value:o}", f"0x{value:x}", f"0X{value:08X}"]))
    text += draw(st.sampled_from(["", "", ".", "\u3002"]))
    digits = draw(st.sampled_from(_DIGITS))
    return str(IPv4Address(number)), text.translate(str.maketrans("0123456789", digits))
