"""What is judged of a JPEG that the strict decoder can't read."""

from __future__ import annotations

import base64

from imagebatch_server.images.decode import Image
from imagebatch_vision.verify.integrity import check_integrity

ARITHMETIC = base64.b64decode("""
/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABsSFBcUERsXFhceHBsgKEIrKCUlKFE6PTBCYFVlZF9VXVtqeJmBanGQc1tdhbWGkJ6jq62rZ4C8yb
qmx5moq6T/2wBDARweHigjKE4rK06kbl1upKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKT/yQARCAAQ
ABADAREAAhEBAyEB/8wACgAQEAUBEBEF/9oADAMBAAIRAxEAPwDaz+9wUTK66A8S4cVkjm2L6estovTfJu2ipHQIdjrAXtRFm8gaoMNCRDPeZ4
J61TECNmAQm2xN16sd1RJ0zkrKIrv5+LejOdVU/9k=
""")
"""16 by 16 pixels in arithmetic coding with the sampling 1x1, 1x1, 2x1, by cjpeg."""


def test_of_arithmetic_coding_in_an_odd_sampling_nothing_is_claimed() -> None:
    for data in (ARITHMETIC, ARITHMETIC[:250] + bytes(10) + ARITHMETIC[260:]):
        image = Image.open(data)
        assert image.pixels.size == (16, 16)
        check = check_integrity(image)
        assert check.verdict == "cannot_tell"
        assert "subsampling" in check.detail
