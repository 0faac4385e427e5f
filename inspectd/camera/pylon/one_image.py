"""Settings with which a Basler camera gives exactly one real image per trigger.

A feature file, a user set or another program may have changed them, and no SDK call reports it: the camera just delivers
fewer images, more images, or test images. So each node of this table is set after the feature file.
"""

from dataclasses import dataclass

from inspectd.camera.pylon.nodes import Nodes

_SECOND_TRIGGER = "it would wait for a second trigger"
_TEST_IMAGE = "it would send test images instead of what the sensor sees"
_SEQUENCER = "it would change its settings from image to image"
_NO_PIXELS = "it would not send plain pixels"


@dataclass(frozen=True, slots=True)
class Demand:
    node: str
    wanted: str | int | bool
    otherwise: str
    """What the camera would do with another value."""
    of_each: str = ""
    """A selector node. The node exists once per value of the selector."""


DEMANDS = (
    # first, because a running sequencer locks most other nodes
    Demand("SequencerMode", "Off", _SEQUENCER),
    Demand("SequencerConfigurationMode", "Off", _SEQUENCER),
    Demand("SequenceEnable", False, _SEQUENCER),
    Demand("AcquisitionMode", "Continuous", "it would stop by itself after some images"),
    Demand("TriggerMode", "Off", _SECOND_TRIGGER, of_each="TriggerSelector"),
    Demand("TriggerDivider", 1, "it would ignore triggers", of_each="TriggerSelector"),
    Demand("TriggerMultiplier", 1, "one trigger would give several images", of_each="TriggerSelector"),
    Demand("AcquisitionFrameCount", 1, "one trigger would give several images"),
    Demand("AcquisitionBurstFrameCount", 1, "one trigger would give several images"),
    Demand("BslAcquisitionBurstMode", "Standard", "images would come later than their triggers"),
    Demand("ExposureMode", "Timed", "the trigger signal would set the exposure"),
    Demand("TestImageSelector", "Off", _TEST_IMAGE),
    Demand("TestPattern", "Off", _TEST_IMAGE),
    Demand("ChunkModeActive", False, _NO_PIXELS),
    Demand("ImageCompressionMode", "Off", _NO_PIXELS),
    Demand("GenDCStreamingMode", "Off", _NO_PIXELS),
    Demand("EventNotification", "Off", "it would send messages that nobody reads", of_each="EventSelector"),
)
"""In the order in which they are set. `SequenceEnable` is an older name of SequencerMode."""


def demand_one_image_per_trigger(nodes: Nodes) -> None:
    """Set every node of the table that the camera has. A node that can't be written now must have the right value already.

    Raises CameraError naming the node, its value, the value needed, and why.
    """
    for demand in DEMANDS:
        for _ in nodes.each(demand.of_each):
            nodes.demand(demand.node, demand.wanted, demand.otherwise)
