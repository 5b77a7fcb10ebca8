"""`thumbnail` on a real server: what is stored is what the output says, and can be fetched."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from urllib.parse import unquote, urlsplit

import sklearn
from PIL import Image as PillowImage
from tests.server import running_server

from imagebatch_client import BatchClient, BatchImageInput, BatchStatus

IMAGES = Path(sklearn.__file__).parent / "datasets" / "images"


def test_thumbnails_are_stored_and_can_be_fetched(tmp_path: Path) -> None:
    with running_server(tmp_path / "data") as server, BatchClient(server.address) as client:
        sources = [IMAGES / "china.jpg", IMAGES / "flower.jpg"]
        items = [BatchImageInput(object_key=client.upload_image(it).object_key) for it in sources]
        items.append(BatchImageInput(object_key=client.upload_image(b"no picture").object_key))
        batch = client.submit("thumbnail", items, parameters={"width": 128, "height": 128, "fit": "cover"})
        status = client.wait_for_completion(batch.batch_id, timeout=60)
        *made, failed = client.get_all_results(batch.batch_id)

        assert status.status is BatchStatus.PARTIALLY_COMPLETED
        assert failed.error_code == "unsupported_format"
        for result in made:
            output = result.output_data or {}
            assert (output["width"], output["height"], output["format"]) == (128, 128, "jpeg")
            assert (output["source_width"], output["source_height"]) == (640, 427)
            assert result.stored_object_key is not None
            fetched = client.download_image(result.stored_object_key)
            assert fetched.content_type == "image/jpeg"
            assert hashlib.sha256(fetched.content).hexdigest() == output["sha256"]
            assert PillowImage.open(io.BytesIO(fetched.content)).size == (128, 128)
            url = urlsplit(result.stored_image_url or "")
            assert url.scheme == "file"
            assert Path(unquote(url.path)).read_bytes() == fetched.content
