// Draws one head, or two side by side, in the camera of the photo or freely. Everything that a slider moves is computed here, so
// that nothing waits for the server: vertices (expression, identity), normals, pose and light.
//
// Frames as in docs/conventions.md: the world is the camera frame of the photo (mm, y up, the camera looks along -z).
import { OrbitControls, THREE } from "nicegui-scene";

const VERTEX = `
attribute vec3 albedo;
attribute vec2 corner_uv;
varying vec3 v_normal; varying vec3 v_albedo; varying vec2 v_uv; varying float v_depth;
void main() {
  vec4 world = modelMatrix * vec4(position, 1.0);
  v_normal = mat3(modelMatrix) * normal;
  v_albedo = albedo; v_uv = corner_uv; v_depth = -world.z;
  gl_Position = projectionMatrix * viewMatrix * world;
}`;

const FRAGMENT = `
uniform int look; uniform bool linear_albedo, has_texture, plain; uniform float opacity, strength;
uniform vec3 light[9]; uniform vec3 studio[9]; uniform mat3 light_turn; uniform mat3 to_viewer; uniform bool light_follows;
uniform sampler2D skin; uniform sampler2D depth_colours; uniform vec2 depth_range;
varying vec3 v_normal; varying vec3 v_albedo; varying vec2 v_uv; varying float v_depth;

vec3 to_linear(vec3 c) { return mix(c / 12.92, pow((c + 0.055) / 1.055, vec3(2.4)), step(0.04045, c)); }
vec3 to_srgb(vec3 c) {
  c = clamp(c, 0.0, 1.0);
  return mix(12.92 * c, 1.055 * pow(c, vec3(1.0 / 2.4)) - 0.055, step(0.0031308, c));
}
// Real spherical harmonics of order 2 in the order of recon/lighting.py; the coefficients hold A_l / pi.
vec3 irradiance(vec3 n, vec3 c[9]) {
  return 0.2820948 * c[0] + 0.4886025 * (n.y * c[1] + n.z * c[2] + n.x * c[3])
    + 1.0925484 * (n.x * n.y * c[4] + n.y * n.z * c[5] + n.x * n.z * c[7])
    + 0.3153916 * (3.0 * n.z * n.z - 1.0) * c[6] + 0.5462742 * (n.x * n.x - n.y * n.y) * c[8];
}
void main() {
  vec3 n = normalize(v_normal);
  vec3 colour;
  if (plain) { gl_FragColor = vec4(0.05, 0.1, 0.18, 0.45); return; }
  if (look == 0 || look == 1) {
    vec3 code = look == 0 && has_texture ? texture2D(skin, v_uv).rgb : v_albedo;
    vec3 towards = transpose(light_turn) * (light_follows ? to_viewer * n : n);
    vec3 light_here = max(strength * irradiance(towards, light), 0.0);
    colour = linear_albedo ? to_srgb(to_linear(code) * light_here) : clamp(code * light_here, 0.0, 1.0);
  } else if (look == 2) {
    colour = v_albedo;
  } else if (look == 3) {
    colour = to_srgb(0.42 * max(irradiance(to_viewer * n, studio), 0.0));
  } else if (look == 4) {
    colour = 0.5 + 0.5 * n;
  } else {
    float share = clamp((v_depth - depth_range.x) / (depth_range.y - depth_range.x), 0.002, 0.998);
    colour = texture2D(depth_colours, vec2(share, 0.5)).rgb;
  }
  gl_FragColor = vec4(colour, opacity);
}`;

const LOOKS = { texture: 0, lit_albedo: 1, albedo: 2, shape: 3, normals: 4, depth: 5 };
const DEG = Math.PI / 180;

async function parts(url) {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`${url}: ${answer.status}`);
  const block = await answer.arrayBuffer();
  const length = new DataView(block).getUint32(0, true);
  const facts = JSON.parse(new TextDecoder().decode(new Uint8Array(block, 4, length)));
  const types = { Float32Array, Uint32Array, Int16Array, Uint8Array };
  const arrays = {};
  for (const row of facts.arrays) arrays[row.name] = new types[row.type](block, 4 + length + row.start, row.length);
  return { facts, arrays };
}

function drawsInSoftware() {
  const gl = document.createElement("canvas").getContext("webgl2");
  const names = gl?.getExtension("WEBGL_debug_renderer_info");
  const name = names ? gl.getParameter(names.UNMASKED_RENDERER_WEBGL) : "";
  gl?.getExtension("WEBGL_lose_context")?.loseContext();
  return /swiftshader|llvmpipe|software/i.test(name);
}

const vectors = (flat) => Array.from({ length: 9 }, (_, k) => new THREE.Vector3(flat[3 * k], flat[3 * k + 1], flat[3 * k + 2]));

function loadPicture(url) {
  return new Promise((resolve, reject) => {
    new THREE.TextureLoader().load(url, (texture) => {
      texture.colorSpace = THREE.NoColorSpace; // the shaders decode it themselves
      texture.generateMipmaps = true;
      texture.minFilter = THREE.LinearMipmapLinearFilter;
      resolve(texture);
    }, undefined, () => reject(new Error(`no picture at ${url}`)));
  });
}

class Head {
  constructor(model, { facts, arrays }) {
    this.model = model;
    this.facts = facts;
    this.neutral_mm = arrays.neutral_mm;
    this.weights = facts.weights.slice();
    this.identity = facts.identity.slice();
    this.pose_deg = facts.pose.slice();
    const corner_vertex = model.arrays.corner_vertex, n = corner_vertex.length;
    this.vertices_mm = new Float32Array(this.neutral_mm.length);
    this.normals = new Float32Array(this.neutral_mm.length);
    const geometry = (this.geometry = new THREE.BufferGeometry());
    const attribute = (name, values, width, normalized = false) =>
      geometry.setAttribute(name, new THREE.BufferAttribute(values, width, normalized));
    attribute("position", new Float32Array(3 * n), 3).attributes.position.setUsage(THREE.DynamicDrawUsage);
    attribute("normal", new Float32Array(3 * n), 3);
    attribute("corner_uv", model.arrays.corner_uv, 2);
    const albedo = new Uint8Array(3 * n);
    for (let i = 0; i < n; i++) for (let c = 0; c < 3; c++) albedo[3 * i + c] = arrays.albedo[3 * corner_vertex[i] + c];
    attribute("albedo", albedo, 3, true);
    geometry.setIndex(new THREE.BufferAttribute(model.arrays.corner_faces, 1));
    const identity3 = new THREE.Matrix3();
    this.uniforms = {
      look: { value: 0 }, linear_albedo: { value: model.facts.linear_albedo }, has_texture: { value: false },
      plain: { value: false }, opacity: { value: 1 }, strength: { value: 1 }, light: { value: vectors(facts.light) },
      studio: { value: vectors(model.facts.studio_light) }, light_turn: { value: identity3.clone() },
      to_viewer: { value: identity3.clone() }, light_follows: { value: false }, skin: { value: null },
      depth_colours: { value: model.depth_colours }, depth_range: { value: new THREE.Vector2(0, 1) },
    };
    const material = (more) => new THREE.ShaderMaterial({ vertexShader: VERTEX, fragmentShader: FRAGMENT, uniforms: this.uniforms, ...more });
    this.group = new THREE.Group();
    this.group.matrixAutoUpdate = false;
    // Depth first, so that a head that is half transparent does not show its inside.
    this.front = new THREE.Mesh(geometry, material({ colorWrite: false }));
    this.skin = new THREE.Mesh(geometry, material({ transparent: true, depthFunc: THREE.LessEqualDepth }));
    this.wires = new THREE.Mesh(geometry, material({
      wireframe: true, transparent: true, depthWrite: false, polygonOffset: true,
      uniforms: { ...this.uniforms, plain: { value: true } },
    }));
    this.front.renderOrder = 1; this.skin.renderOrder = 2; this.wires.renderOrder = 3;
    this.wires.visible = false;
    for (const mesh of [this.front, this.skin, this.wires]) { mesh.frustumCulled = false; this.group.add(mesh); }
    this.shape();
    this.place();
  }

  shape() { // vertices from coefficients, then normals, then the copies at texture seams
    const { moved_start, moved_vertex, moved_mm, identity_steps, identity_step_mm, faces, corner_vertex } = this.model.arrays;
    const v = this.vertices_mm, n = this.normals;
    v.set(this.neutral_mm);
    for (let k = 0; k < this.identity.length; k++) {
      const scale = (this.identity[k] - this.facts.identity[k]) * identity_step_mm[k];
      if (scale === 0) continue;
      for (let i = 0, at = k * v.length; i < v.length; i++) v[i] += scale * identity_steps[at + i];
    }
    for (let k = 0; k < this.weights.length; k++) {
      const w = this.weights[k];
      if (w === 0) continue;
      for (let row = moved_start[k]; row < moved_start[k + 1]; row++) {
        const at = 3 * moved_vertex[row];
        v[at] += w * moved_mm[3 * row]; v[at + 1] += w * moved_mm[3 * row + 1]; v[at + 2] += w * moved_mm[3 * row + 2];
      }
    }
    n.fill(0);
    for (let f = 0; f < faces.length; f += 3) {
      const a = 3 * faces[f], b = 3 * faces[f + 1], c = 3 * faces[f + 2];
      const x1 = v[b] - v[a], y1 = v[b + 1] - v[a + 1], z1 = v[b + 2] - v[a + 2];
      const x2 = v[c] - v[a], y2 = v[c + 1] - v[a + 1], z2 = v[c + 2] - v[a + 2];
      const x = y1 * z2 - z1 * y2, y = z1 * x2 - x1 * z2, z = x1 * y2 - y1 * x2;
      n[a] += x; n[a + 1] += y; n[a + 2] += z; n[b] += x; n[b + 1] += y; n[b + 2] += z; n[c] += x; n[c + 1] += y; n[c + 2] += z;
    }
    const position = this.geometry.attributes.position, normal = this.geometry.attributes.normal;
    for (let i = 0; i < corner_vertex.length; i++) {
      const from = 3 * corner_vertex[i], to = 3 * i;
      const length = Math.hypot(n[from], n[from + 1], n[from + 2]) || 1;
      for (let c = 0; c < 3; c++) { position.array[to + c] = v[from + c]; normal.array[to + c] = n[from + c] / length; }
    }
    position.needsUpdate = normal.needsUpdate = true;
    this.geometry.computeBoundingBox();
  }

  rotation() { // R = Rz(roll) Ry(yaw) Rx(pitch)
    const [yaw, pitch, roll] = this.pose_deg.map((angle) => angle * DEG);
    return new THREE.Matrix4().makeRotationFromEuler(new THREE.Euler(pitch, yaw, roll, "ZYX"));
  }

  place() {
    const t = this.facts.translation_mm;
    this.group.matrix.copy(this.rotation().setPosition(t[0], t[1], t[2]));
    const middle = this.middle(), radius = this.radius();
    this.uniforms.depth_range.value.set(-middle.z - 0.85 * radius, -middle.z + 0.6 * radius);
    this.group.updateMatrixWorld(true);
  }

  middle() { return this.geometry.boundingBox.getCenter(new THREE.Vector3()).applyMatrix4(this.group.matrix); }
  radius() { return 0.5 * this.geometry.boundingBox.getSize(new THREE.Vector3()).y; }

  dispose() {
    this.geometry.dispose();
    for (const mesh of [this.front, this.skin, this.wires]) mesh.material.dispose();
    this.uniforms.skin.value?.dispose();
  }
}

export default {
  template: `
    <div class="head-view" style="position:relative;overflow:hidden">
      <canvas style="position:absolute;inset:0;width:100%;height:100%;display:block;touch-action:none"></canvas>
      <div ref="left" class="head-view-label" style="left:12px"></div>
      <div ref="right" class="head-view-label" style="left:calc(50% + 12px)"></div>
    </div>`,
  props: { model_url: String },

  async mounted() {
    this.canvas = this.$el.querySelector("canvas");
    // Without a graphics card moving pictures are coarse, and resting ones are smoothed by their size.
    const software = drawsInSoftware(), dpr = window.devicePixelRatio;
    this.ratio = software ? { moving: 0.5, rest: Math.max(1.5, Math.min(2, dpr)) } : { moving: Math.min(2, dpr), rest: Math.min(2, dpr) };
    this.moving = false;
    this.renderer = new THREE.WebGLRenderer({ canvas: this.canvas, antialias: !software, alpha: true });
    this.renderer.outputColorSpace = THREE.LinearSRGBColorSpace; // the shaders write code values
    this.renderer.autoClear = false;
    this.panes = [];
    this.look = { look: "texture", wires: false, opacity: 1, strength: 1, turn_deg: 0, light: "photo", camera: "photo" };
    this.rect = null; // what of the photo is seen: middle and height, px
    this.photo = this.photoQuad();
    this.free = new THREE.PerspectiveCamera(22, 1, 50, 20000);
    this.orbit = new OrbitControls(this.free, this.canvas);
    this.orbit.enablePan = true;
    this.orbit.enabled = false;
    this.orbit.addEventListener("change", () => this.drawMoving());
    this.aligned = new THREE.PerspectiveCamera();
    this.aligned.matrixAutoUpdate = false;
    this.bindMouse();
    this.watcher = new ResizeObserver(() => this.resize());
    this.watcher.observe(this.$el);
    this.resize();
    this.last_ms = 0; // from the last move of a slider to its picture
    this.model_ready = this.loadModel();
    this.$el.head_view = this; // for tests in a browser
    await this.model_ready;
    this.$emit("ready");
  },

  beforeUnmount() {
    this.watcher?.disconnect();
    clearTimeout(this.resting);
    for (const pane of this.panes) pane.head.dispose();
    this.renderer?.dispose();
  },

  methods: {
    async loadModel() {
      this.model = await parts((window.path_prefix || "") + this.model_url);
      const rgb = this.model.arrays.depth_colours, rgba = new Uint8Array((rgb.length / 3) * 4).fill(255);
      for (let k = 0; k < rgb.length / 3; k++) rgba.set(rgb.subarray(3 * k, 3 * k + 3), 4 * k);
      const colours = new THREE.DataTexture(rgba, rgb.length / 3, 1);
      colours.magFilter = colours.minFilter = THREE.LinearFilter;
      colours.needsUpdate = true;
      this.model.depth_colours = colours;
    },

    photoQuad() {
      const material = new THREE.ShaderMaterial({
        vertexShader: "uniform vec4 box; varying vec2 at; void main() { at = uv; gl_Position = vec4(mix(box.xy, box.zw, uv), 0.0, 1.0); }",
        fragmentShader: "uniform sampler2D picture; varying vec2 at; void main() { gl_FragColor = vec4(texture2D(picture, at).rgb, 1.0); }",
        uniforms: { box: { value: new THREE.Vector4() }, picture: { value: null } },
        depthTest: false, depthWrite: false,
      });
      const quad = new THREE.Mesh(new THREE.PlaneGeometry(), material);
      quad.frustumCulled = false;
      quad.visible = false;
      return quad;
    },

    // Show heads: [{url, label}], the photo behind them; keep_view leaves the camera where it is.
    showHeads(heads, photo_url, keep_view) {
      this.showing = this.fetchHeads(heads, photo_url, keep_view);
      return this.showing;
    },

    async fetchHeads(heads, photo_url, keep_view) {
      const turn = (this.turn = (this.turn || 0) + 1);
      await this.model_ready;
      const [picture, ...blocks] = await Promise.all([loadPicture(photo_url), ...heads.map((head) => parts(head.url))]);
      if (turn !== this.turn) { picture.dispose(); return; } // others were asked for meanwhile
      for (const pane of this.panes) pane.head.dispose();
      this.panes = blocks.map((block, k) => ({ head: new Head(this.model, block), label: heads[k].label }));
      this.photo.material.uniforms.picture.value?.dispose();
      this.photo.material.uniforms.picture.value = picture;
      this.photo.visible = true;
      if (!keep_view || !this.rect) this.resetView();
      this.applyLook();
      this.shown_turn = turn;
      this.$emit("shown", this.panes.length);
    },

    async setTexture(pane, url) {
      await this.showing; // the head may still be on its way
      const wanted = this.panes[pane]?.head;
      const texture = await loadPicture(url);
      if (!wanted || this.panes[pane]?.head !== wanted) { texture.dispose(); return; }
      texture.anisotropy = 4;
      wanted.uniforms.skin.value?.dispose();
      wanted.uniforms.skin.value = texture;
      wanted.uniforms.has_texture.value = this.model.facts.textured;
      this.draw();
      this.$emit("textured", pane);
    },

    clear() {
      this.turn = (this.turn || 0) + 1;
      for (const pane of this.panes) pane.head.dispose();
      this.panes = [];
      this.photo.visible = false;
      this.draw();
    },

    // Sliders move the left head.
    setWeight(number, value) { this.change((head) => { head.weights[number] = value; head.shape(); }); },
    setWeights(values) { this.change((head) => { head.weights = values.slice(); head.shape(); }); },
    setIdentity(number, value) { this.change((head) => { head.identity[number] = value; head.shape(); }); },
    setIdentities(values) { this.change((head) => { head.identity = values.slice(); head.shape(); }); },
    setAngle(number, value) { this.change((head) => { head.pose_deg[number] = value; head.place(); }); },
    setLook(name, value) {
      this.look[name] = value;
      if (name === "camera") this.resetView();
      this.applyLook();
    },
    change(edit) {
      if (!this.panes.length) return;
      this.changed_at = performance.now();
      edit(this.panes[0].head);
      this.drawMoving();
    },

    applyLook() {
      const free = this.look.camera === "free";
      this.orbit.enabled = free;
      const light_turn = new THREE.Matrix3().setFromMatrix4(new THREE.Matrix4().makeRotationY(this.look.turn_deg * DEG));
      for (const { head } of this.panes) {
        const u = head.uniforms;
        u.look.value = LOOKS[this.look.look];
        u.opacity.value = free ? 1 : this.look.opacity;
        u.strength.value = this.look.strength;
        u.light_turn.value.copy(light_turn);
        u.light_follows.value = this.look.light === "studio";
        if (this.look.light === "photo") u.light.value = vectors(head.facts.light);
        else if (this.look.light === "studio") u.light.value = u.studio.value;
        else u.light.value = vectors([3.5449077, 3.5449077, 3.5449077, ...Array(24).fill(0)]); // 1 from everywhere
        head.wires.visible = this.look.wires;
      }
      this.draw();
    },

    resetView() {
      const head = this.panes[0]?.head;
      if (!head) return;
      const f = head.facts, middle = head.middle(), [aspect] = this.paneSize();
      const depth = f.camera_model === "perspective" ? -middle.z : -f.translation_mm[2];
      const x = f.principal_px[0] + (f.focal_px[0] * middle.x) / depth;
      const y = f.principal_px[1] - (f.focal_px[1] * middle.y) / depth;
      const head_px = (2 * head.radius() * f.focal_px[1]) / depth;
      const whole = Math.max(f.photo_size[1], f.photo_size[0] / aspect);
      const height = Math.min(whole, 2.1 * head_px);
      const inside = (value, size, seen) => (seen >= size ? size / 2 : Math.min(Math.max(value, seen / 2), size - seen / 2));
      this.rect = { x: inside(x, f.photo_size[0], height * aspect), y: inside(y, f.photo_size[1], height), height };
      const away = (1.25 * head.radius()) / Math.tan((0.5 * this.free.fov * Math.PI) / 180) / Math.min(1, aspect / 0.8); // a head is narrower than high
      const look = new THREE.Vector3(0, 0, away).applyMatrix4(new THREE.Matrix4().extractRotation(head.group.matrix));
      this.free.position.copy(middle).add(look);
      this.orbit.target.copy(middle);
      this.orbit.update();
      this.draw();
    },

    paneSize() { // aspect, width and height in px of the canvas
      const n = Math.max(1, this.panes.length), width = this.$el.clientWidth / n, height = this.$el.clientHeight;
      return [width / Math.max(1, height), width, height];
    },

    resize() {
      const { clientWidth, clientHeight } = this.$el;
      if (!clientWidth || !clientHeight) return;
      this.renderer.setSize(clientWidth, clientHeight, false);
      this.draw();
    },

    bindMouse() { // in the photo's camera: the wheel zooms, dragging moves the picture
      let from = null;
      this.canvas.addEventListener("wheel", (event) => {
        if (this.look.camera !== "photo" || !this.rect) return;
        event.preventDefault();
        this.rect.height = Math.min(Math.max(this.rect.height * Math.exp(0.001 * event.deltaY), 20), 20000);
        this.drawMoving();
      }, { passive: false });
      this.canvas.addEventListener("pointerdown", (event) => {
        if (this.look.camera !== "photo" || !this.rect) return;
        from = { x: event.clientX, y: event.clientY, rect: { ...this.rect } };
        this.canvas.setPointerCapture(event.pointerId);
      });
      this.canvas.addEventListener("pointermove", (event) => {
        if (!from) return;
        const scale = from.rect.height / this.$el.clientHeight;
        this.rect.x = from.rect.x - scale * (event.clientX - from.x);
        this.rect.y = from.rect.y - scale * (event.clientY - from.y);
        this.drawMoving();
      });
      for (const name of ["pointerup", "pointercancel"]) this.canvas.addEventListener(name, () => (from = null));
    },

    // The photo's camera, of which the rectangle (left, top, width, height in px) fills the pane.
    align(facts, left, top, width, height) {
      const [fx, fy] = facts.focal_px, [cx, cy] = facts.principal_px, near = 50, far = 20000;
      const p = this.aligned.projectionMatrix;
      if (facts.camera_model === "perspective") {
        p.set((2 * fx) / width, 0, 1 - (2 * (cx - left)) / width, 0, 0, (2 * fy) / height, (2 * (cy - top)) / height - 1, 0,
          0, 0, -(far + near) / (far - near), (-2 * far * near) / (far - near), 0, 0, -1, 0);
      } else {
        const depth = -facts.translation_mm[2];
        p.set((2 * fx) / depth / width, 0, 0, (2 * (cx - left)) / width - 1, 0, (2 * fy) / depth / height, 0, 1 - (2 * (cy - top)) / height,
          0, 0, -2 / (far - near), -(far + near) / (far - near), 0, 0, 0, 1);
      }
      this.aligned.projectionMatrixInverse.copy(p).invert();
    },

    draw() {
      if (this.waiting) return;
      this.waiting = requestAnimationFrame(() => { this.waiting = null; this.drawNow(); });
    },

    drawMoving() {
      this.moving = true;
      clearTimeout(this.resting);
      this.resting = setTimeout(() => { this.moving = false; this.draw(); }, 250);
      this.draw();
    },

    drawNow() {
      const renderer = this.renderer, [aspect, width, height] = this.paneSize();
      const ratio = this.moving ? this.ratio.moving : this.ratio.rest;
      if (renderer.getPixelRatio() !== ratio) renderer.setPixelRatio(ratio);
      renderer.setScissorTest(false);
      renderer.setClearColor(0x000000, 0);
      renderer.clear();
      const labels = [this.$refs.left, this.$refs.right];
      labels.forEach((label, k) => { label.textContent = this.panes.length > 1 ? this.panes[k].label : ""; });
      this.panes.forEach(({ head }, k) => {
        renderer.setViewport(k * width, 0, width, height);
        renderer.setScissor(k * width, 0, width, height);
        renderer.setScissorTest(true);
        let camera = this.free;
        if (this.look.camera === "photo") {
          const seen = this.rect, left = seen.x - 0.5 * seen.height * aspect, top = seen.y - 0.5 * seen.height;
          this.align(head.facts, left, top, seen.height * aspect, seen.height);
          const [w, h] = head.facts.photo_size, ndc = (px, from, size) => (2 * (px - from)) / size - 1;
          this.photo.material.uniforms.box.value.set(
            ndc(0, left, seen.height * aspect), -ndc(h, top, seen.height), ndc(w, left, seen.height * aspect), -ndc(0, top, seen.height));
          renderer.render(this.photo, this.aligned);
          camera = this.aligned;
        } else {
          this.free.aspect = aspect;
          this.free.updateProjectionMatrix();
        }
        camera.updateMatrixWorld();
        if (k > 0 && camera === this.free) { // heads that are compared may stand at different distances
          const apart = head.middle().sub(this.panes[0].head.middle());
          camera = this.free.clone();
          camera.position.add(apart);
          camera.updateMatrixWorld();
        }
        head.front.visible = head.uniforms.opacity.value < 1;
        head.uniforms.to_viewer.value.setFromMatrix4(camera.matrixWorldInverse);
        renderer.render(head.group, camera);
      });
      if (this.changed_at) {
        renderer.getContext().finish();
        this.last_ms = performance.now() - this.changed_at;
        this.changed_at = null;
      }
    },
  },
};
