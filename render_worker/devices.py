"""What runs inside Blender for the health command: tells its version and the devices that Cycles sees.

Started as scene.py is, and it imports nothing of ours for the same reason. It sends one JSON line.
"""

import json
import os
import sys

import bpy


def main() -> None:
    """Send the version, and a list of kind and name for each device, those of a GPU first."""
    preferences = bpy.context.preferences.addons["cycles"].preferences
    devices = []
    for kind in ("OPTIX", "CUDA", "CPU"):
        try:
            found = preferences.get_devices_for_type(kind)
        except (TypeError, ValueError):  # this Blender was built without that kind
            continue
        devices += [(kind, device.name) for device in found if device.type == kind]
    answer = {"blender": bpy.app.version_string, "devices": devices}
    os.write(int(sys.argv[-1]), json.dumps(answer).encode())


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    # As in scene.py: Blender's own way out can crash.
    os._exit(0)
