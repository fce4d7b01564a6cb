"""Write meshes, maps, landmarks and numbers to files: millimetres, except GLB, which is in metres; landmarks are in pixels."""

from recon.export.camera_json import read_camera as read_camera
from recon.export.face_json import encode_face_json as encode_face_json
from recon.export.face_json import write_face_json as write_face_json
from recon.export.glb import write_glb as write_glb
from recon.export.landmark_files import write_landmarks_csv as write_landmarks_csv
from recon.export.landmark_files import write_landmarks_npy as write_landmarks_npy
from recon.export.landmark_files import write_landmarks_pts as write_landmarks_pts
from recon.export.landmarks_json import LandmarkFileError as LandmarkFileError
from recon.export.landmarks_json import read_landmarks as read_landmarks
from recon.export.landmarks_json import write_landmarks_json as write_landmarks_json
from recon.export.maps import write_depth_exr as write_depth_exr
from recon.export.maps import write_depth_npy as write_depth_npy
from recon.export.maps import write_depth_png as write_depth_png
from recon.export.maps import write_normals_png as write_normals_png
from recon.export.mesh import ExportMesh as ExportMesh
from recon.export.mesh import MeshError as MeshError
from recon.export.obj import write_obj as write_obj
from recon.export.ply import write_ply as write_ply
from recon.export.ply import write_point_ply as write_point_ply
from recon.export.stl import write_stl as write_stl
from recon.io.files import OutputError as OutputError
from recon.io.files import OutputExistsError as OutputExistsError
from recon.io.files import write_file as write_file
from recon.io.files import write_files as write_files
