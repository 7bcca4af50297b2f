"""What one server holds: files that were sent, joints that were moved, and the network."""

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from smil_ray.data.image_io import write_png
from smil_ray.data.labels.writing import Labelled, write_coco
from smil_ray.errors import DataError
from smil_ray.results.keypoints import Keypoints
from smil_ray.results.prediction.cameras import KnownCamera
from smil_ray.results.prediction.options import PredictOptions
from smil_ray.results.prediction.predict import predict_images
from smil_ray.results.prediction.predictor import Answer, Predictor
from smil_ray.results.prediction.video import FrameRange, VideoInfo, read_frames
from smil_ray.results.prediction.views import Picture, open_picture
from smil_ray.results.refinement.refine import RefineOptions, refine_results
from smil_ray.serve.animal import Told, find_animal
from smil_ray.serve.refusals import RefusedError
from smil_ray.serve.uploads import MAX_FILES, MAX_TOTAL_BYTES, check_file
from smil_ray.training.checkpoint.loading import LoadedRegressor


@dataclass
class SentFile:
    """A picture or video that somebody sent.

    Attributes:
        name: As it was called.
        path: Where it is, of a name of its own.
        video: What a video says of itself; None for a picture.
        size_px: Width and height.
        told: Frame -> the joints that a person moved, NaN for the others.
    """

    name: str
    path: Path
    video: VideoInfo | None
    size_px: tuple[int, int]
    told: dict[int, Told] = field(default_factory=dict)

    @property
    def n_frames(self) -> int:
        """1 for a picture."""
        return 1 if self.video is None else self.video.n_frames


class Session:
    """All of it; use it from one thread at a time, and in a `with` block.

    Args:
        loaded: The network.
        camera: Of all pictures, where it is known.
        name: What the network is called; default: its run folder's name.

    Raises:
        ConfigError: The network needs to know the camera, and it is not given.
    """

    def __init__(
        self, loaded: LoadedRegressor, camera: KnownCamera | None = None, name: str | None = None
    ) -> None:
        self.loaded, self.camera = loaded, camera
        self.name = name or loaded.path.absolute().parents[1].name
        self.predictor = Predictor.of(loaded)
        self.predictor.check_camera(camera is not None)
        self.files: dict[int, SentFile] = {}
        self.folder = Path(tempfile.mkdtemp(prefix="smil-ray-serve-"))
        self.n_downloads = 0
        self._next = 0

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Delete everything that was sent."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def place(self, name: str) -> Path:
        """Return where a file of this name is to be written.

        Raises:
            RefusedError: There are too many files already.
        """
        if len(self.files) >= MAX_FILES or self._bytes() > MAX_TOTAL_BYTES:
            raise RefusedError(
                f"{name}: too many files",
                expected=f"at most {MAX_FILES}, and {MAX_TOTAL_BYTES // 2**30} GiB in all",
                remedy="remove some",
            )
        self._next += 1
        stem = "".join(c if c.isalnum() or c in "-_" else "_" for c in Path(name).stem)[:80]
        folder = self.folder / "sent" / f"{self._next:05d}"
        folder.mkdir(parents=True)
        return folder / f"{stem or 'picture'}{Path(name).suffix.lower()[:10]}"

    def add(self, path: Path, name: str) -> int:
        """Take a file that was written to its `place`; return its number.

        Raises:
            DataError: It is neither a picture nor a video that is read; it is deleted.
        """
        try:
            video, size_px = check_file(path, name)
        except DataError:
            shutil.rmtree(path.parent)
            raise
        number = int(path.parent.name)
        self.files[number] = SentFile(name, path, video, size_px)
        return number

    def remove(self, number: int) -> None:
        """Forget a file and delete it; one that is not there is gone already."""
        if number in self.files:
            shutil.rmtree(self.files.pop(number).path.parent)

    def picture(self, number: int, frame: int) -> Picture:
        """Return a picture, or a frame of a video.

        Raises:
            DataError: There is no such file or frame, or it is damaged.
        """
        sent = self.files.get(number)
        if sent is None or not 0 <= frame < sent.n_frames:
            raise DataError(f"frame {frame} of file {number}", found="no such frame")
        if sent.video is None:
            return open_picture(sent.path)
        read = next(read_frames(sent.path, FrameRange(frame, frame + 1)), None)
        if read is None:
            raise DataError(f"{sent.name}: frame {frame} cannot be read")
        return Picture(sent.path, read[1])

    def tell(self, number: int, frame: int, joints: Mapping[str, tuple[float, float]]) -> None:
        """Take the places of all joints that were moved in a frame; none: as it was.

        Raises:
            DataError: There is no such frame, or a place is not two numbers near the picture.
            ConfigError: There is no such joint.
        """
        picture = self.picture(number, frame)
        skeleton = self.predictor.model.skeleton
        skeleton.mask(joints, "moved joints")
        told = np.full((skeleton.n_joints, 2), np.nan)
        for name, place in joints.items():
            told[skeleton.index[name]] = place
            if not (np.abs(told[skeleton.index[name]]) < 2 * max(picture.size_px)).all():
                raise DataError(
                    f"{name}: place", expected="x, y in pixels of the picture", found=place
                )
        if joints:
            self.files[number].told[frame] = told
        else:
            self.files[number].told.pop(frame, None)

    def find(self, number: int, frame: int) -> tuple[Picture, Answer]:
        """Return a picture and the animal in it.

        Raises:
            DataError: There is no such picture, or the animal is outside of it.
        """
        picture = self.picture(number, frame)
        told = self.files[number].told.get(frame)
        return picture, find_animal(self.predictor, picture, self.camera, told)

    def save_labels(self, out: Path, *, all_joints: bool) -> None:
        """Write `labels.json` and the pictures of the corrected frames to a folder.

        Args:
            out: The folder, made here.
            all_joints: Label the joints that nobody moved too, where the animal has them now.

        Raises:
            DataError: Nothing was corrected.
        """
        labelled = []
        for number, sent in self.files.items():
            for frame, told in sorted(sent.told.items()):
                picture, answer = self.find(number, frame)
                width, height = picture.size_px
                joints = told
                if all_joints:
                    found = answer.joints_px()
                    inside = np.asarray(((found >= 0) & (found < [width, height])).all(axis=1))
                    found = np.where(inside[:, None], found, np.nan)
                    joints = np.where(np.isfinite(told), told, found)
                name = f"pictures/{sent.path.stem}_{number:05d}_{frame:06d}.png"
                write_png(out / name, picture.rgb)
                labelled.append(Labelled(name, picture.size_px, joints))
        if not labelled:
            raise DataError("No frame was corrected", remedy="drag a joint of some picture first")
        write_coco(out / "labels.json", labelled, self.predictor.model.skeleton)

    def save_results(self, out: Path) -> None:
        """Write what `predict` does of every file; fitted to moved joints in `refined/`.

        Raises:
            DataError: There is no file.
        """
        if not self.files:
            raise DataError("No file to predict on", remedy="drop a picture or a video first")
        sent = list(self.files.values())
        places = {
            str(file.path): {(frame, 0): told for frame, told in file.told.items()}
            for file in sent
            if file.told
        }
        keypoints = Keypoints(Path("corrected joints"), places) if places else None
        takes = self.predictor.regressor.takes_prompts
        predict_images(
            self.loaded,
            [file.path for file in sent],
            out,
            camera=self.camera,
            keypoints=keypoints if takes else None,
            options=PredictOptions(),
        )
        if keypoints is not None:
            refine_results(self.loaded, out, out / "refined", RefineOptions(keypoints))
        shutil.rmtree(out / "parts")

    def _bytes(self) -> int:
        return sum(file.path.stat().st_size for file in self.files.values())
