from hypothesis import given
from hypothesis import strategies as st

from inspectd.line.repetition import RecentImages
from tests.camera.pictures import noise

PICTURES = noise(40, 24, 32)


@given(st.integers(1, 16), st.integers(0, 20))
def test_buffers_that_are_played_in_turn_are_noticed(buffers, healthy):
    recent = RecentImages()
    assert not any(recent.saw(image) for image in PICTURES[:healthy])
    turn = PICTURES[healthy : healthy + buffers]
    assert [recent.saw(image.copy()) for image in turn * 3] == [False] * buffers + [True] * (2 * buffers)


@given(st.integers(0, 23), st.integers(0, 31), st.integers(1, 255))
def test_one_pixel_makes_another_image(row, column, change):
    recent = RecentImages()
    other = PICTURES[0].copy()
    other[row, column] ^= change
    assert not recent.saw(PICTURES[0])
    assert not recent.saw(other)
    assert recent.saw(PICTURES[0])


@given(st.integers(2, 40))
def test_files_that_are_played_again_and_again_are_no_repetition(files):
    recent = RecentImages(repeats_after=files)
    assert not any(recent.saw(image) for image in PICTURES[:files] * 3)


def test_a_single_file_again_and_again_is_one():
    recent = RecentImages(repeats_after=1)
    assert [recent.saw(PICTURES[0]) for _ in range(3)] == [False, True, True]


def test_the_same_bytes_in_another_shape_are_another_image():
    recent = RecentImages()
    assert not recent.saw(PICTURES[0])
    assert not recent.saw(PICTURES[0].reshape(32, 24))


def test_images_whose_bytes_are_not_in_a_row():
    recent = RecentImages()
    assert not recent.saw(PICTURES[0][::-1, ::-1])
    assert recent.saw(PICTURES[0][::-1, ::-1].copy())
