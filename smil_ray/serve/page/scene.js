// The mesh in 3D: camera axes (x left, y up, z forward) seen as the picture shows them.
import * as THREE from "three";
import { OrbitControls } from "./three/OrbitControls.js";

export class Scene {
  constructor(canvas, faces) {
    this.canvas = canvas;
    this.renderer = new THREE.WebGLRenderer({ canvas, antialias: true });
    this.renderer.setClearColor(0xe9edf1);
    this.scene = new THREE.Scene();
    this.camera = new THREE.PerspectiveCamera(35, 1, 0.01, 1000);
    this.controls = new OrbitControls(this.camera, canvas);
    this.controls.addEventListener("change", () => this.draw());
    const light = new THREE.DirectionalLight(0xffffff, 2.2);
    light.position.set(0.4, 0.8, 0.6);
    this.camera.add(light);
    this.scene.add(this.camera, new THREE.HemisphereLight(0xffffff, 0x8a8f99, 1.4));
    this.geometry = new THREE.BufferGeometry();
    this.geometry.setIndex(faces);
    const material = new THREE.MeshStandardMaterial({
      color: 0xd08b5b, roughness: 0.75, side: THREE.DoubleSide,
    });
    this.scene.add(new THREE.Mesh(this.geometry, material));
    this.isPlaced = false;
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  show(vertices) {
    // A turn about y: left becomes right and forward becomes towards the viewer's back.
    const places = new Float32Array(vertices);
    for (let i = 0; i < places.length; i += 3) {
      places[i] = -places[i];
      places[i + 2] = -places[i + 2];
    }
    this.geometry.setAttribute("position", new THREE.BufferAttribute(places, 3));
    this.geometry.computeVertexNormals();
    this.geometry.computeBoundingSphere();
    if (!this.isPlaced) {
      this.camera.position.set(0, 0, 3.2 * this.geometry.boundingSphere.radius);
      this.controls.target.set(0, 0, 0);
      this.controls.update();
      this.isPlaced = true;
    }
    this.draw();
  }

  draw() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (!width || !this.isPlaced) return;
    this.renderer.setPixelRatio(window.devicePixelRatio);
    this.renderer.setSize(width, height, false);
    this.camera.aspect = width / height;
    this.camera.updateProjectionMatrix();
    this.renderer.render(this.scene, this.camera);
  }
}
