"""Where the label lies: from the label box to the scene, and from the scene to the image."""

import cv2
import numpy as np
from numpy.typing import NDArray

from inspectd_tools.synthetic.render import printing
from inspectd_tools.synthetic.render.scene import HEIGHT_PX, WIDTH_PX, Grey

Matrix = NDArray[np.float64]


def placement(centre: NDArray[np.float64], angle_deg: float) -> Matrix:
    """(3, 3) from the label box to the scene, where its centre is at `centre`; angles count clockwise on the image."""
    matrix = np.eye(3)
    matrix[:2] = cv2.getRotationMatrix2D((printing.WIDTH_PX / 2, printing.HEIGHT_PX / 2), -angle_deg, 1.0)
    matrix[:2, 2] += centre - np.array([printing.WIDTH_PX / 2, printing.HEIGHT_PX / 2])
    return matrix


def placed(ink: Grey, where: Matrix) -> Grey:
    """Ink in the label box -> (480, 640) ink in the scene."""
    return cv2.warpAffine(ink, where[:2], (WIDTH_PX, HEIGHT_PX), flags=cv2.INTER_LINEAR)


def corners(where: Matrix) -> NDArray[np.float32]:
    """(4, 2) of the label box: top left, top right, bottom right, bottom left."""
    width, height = printing.WIDTH_PX, printing.HEIGHT_PX
    box = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float64)
    return cv2.transform(box[None], where[:2])[0].astype(np.float32)


def filled(polygon: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(480, 640), 255 inside."""
    mask = np.zeros((HEIGHT_PX, WIDTH_PX), np.uint8)
    cv2.fillPoly(mask, [np.round(polygon).astype(np.int32)], 255)
    return mask
