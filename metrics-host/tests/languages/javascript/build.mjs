// Bundles the application as the template does.
import { build } from 'esbuild';
import { SpinEsbuildPlugin } from '@spinframework/build-tools/plugins/esbuild/index.js';

await build({
  entryPoints: ['./index.js'],
  outfile: './build/bundle.js',
  bundle: true,
  format: 'esm',
  platform: 'node',
  plugins: [await SpinEsbuildPlugin()],
  external: ['fermyon:*', 'spin:*', 'wasi:*'],
});
